"""The learned-prefix splice: the best that pure Python can do for this task.

Most events of a stream repeat the one before up to their content. So one event is parsed, and its bytes up to the
content are remembered, as they came in and as they must leave. While they repeat, only the rest is searched for the
keys of the task and the two parts are put together; any other event is parsed. (In Gemini's events the edits stand
behind the content: there the end is learned.) A key spelled with escapes is missed, as it is by every search for
keys.
"""

from collections.abc import Callable

from framing import Feed, framed
from streams import ALIAS
from tasks import Task


def spliced(task: Task, parse: Callable[[bytes], bytes]) -> Feed:
    """A feed that splices where it can and calls `parse` for the other events."""
    if task.separator != b"\n\n":
        return _spliced_at_end(task, parse)
    held: list[bytes] = []
    marker, keys = task.marker, task.keys
    prefix = replaced = b"\n"  # no event begins so
    same = True
    size = 1

    def learn(event: bytes, result: bytes) -> None:
        nonlocal prefix, replaced, same, size
        if (at := event.find(marker)) > 0 and (to := result.find(marker)) > 0:
            prefix, replaced = event[: at + len(marker)], result[: to + len(marker)]
            same, size = prefix == replaced, len(prefix)

    def feed(chunk: bytes) -> bytes:
        start = 0
        if held:
            held.append(chunk)
            if chunk.find(b"\n") < 0:
                return b""
            data = b"".join(held)
            held.clear()
            start = max(0, len(data) - len(chunk) - 1)
        else:
            data = chunk
        end = data.find(b"\n\n", start) + 2
        if end < 2:
            held.append(data)
            return b""
        if end == len(data):
            # The usual chunk: one event.
            if data.startswith(prefix):
                for key in keys:
                    if data.find(key, size) >= 0:
                        break
                else:
                    return data if same else replaced + data[size:]
            result = parse(data)
            learn(data, result)
            return result
        out = []
        start = copied = 0
        while end >= 2:
            if data.startswith(prefix, start):
                rest = start + size
                for key in keys:
                    if data.find(key, rest, end) >= 0:
                        break
                else:
                    if not same:
                        out += data[copied:start], replaced
                        copied = rest
                    start = end
                    end = data.find(b"\n\n", start) + 2
                    continue
            event = data[start:end]
            result = parse(event)
            learn(event, result)
            out += data[copied:start], result
            start = copied = end
            end = data.find(b"\n\n", start) + 2
        out.append(data[copied:start])
        if start < len(data):
            held.append(data[start:])
        return b"".join(out)

    return feed


def batched(task: Task, parse: Callable[[bytes], bytes]) -> Feed:
    """The splice with all events of a chunk done at once where all repeat what was learned: for large chunks."""
    if task.separator != b"\n\n":
        return _spliced_at_end(task, parse)
    held: list[bytes] = []
    marker, keys = task.marker, task.keys
    one_by_one = spliced(task, parse)
    prefix = replaced = between = b"\n"

    def feed(chunk: bytes) -> bytes:
        nonlocal prefix, replaced, between
        if held:
            held.append(chunk)
            if chunk.find(b"\n") < 0:
                return b""
            data = b"".join(held)
            held.clear()
        else:
            data = chunk
        end = data.rfind(b"\n\n") + 2
        if end < len(data):
            held.append(data[end:] if end > 1 else data)
            if end < 2:
                return b""
            data = data[:end]
        events = data.split(b"\n\n")
        events.pop()
        if len(events) < 4:
            return one_by_one(data)
        if not events[-1].startswith(prefix):
            event = events[-1] + b"\n\n"
            result = parse(event)
            if (at := event.find(marker)) > 0 and (to := result.find(marker)) > 0:
                prefix, replaced = event[: at + len(marker)], result[: to + len(marker)]
                between = b"\n\n" + replaced
        size = len(prefix)
        rests = [event[size:] for event in events if event.startswith(prefix)]
        if len(rests) < len(events):
            return one_by_one(data)
        rest = b"\n\n".join(rests)
        for key in keys:
            if rest.find(key) >= 0:
                return one_by_one(data)
        if prefix == replaced:
            return data
        return b"".join((replaced, between.join(rests), b"\n\n"))

    return feed


def _spliced_at_end(task: Task, parse: Callable[[bytes], bytes]) -> Feed:
    """For Gemini: the end of an event, from the last brace of its usage on, repeats."""
    suffix = replaced = b"\n"
    size = 1
    parent, model = b'"usageMetadata": {', b'"modelVersion"'
    # Neither a cost field (`"cost` begins two) nor the default may stand in the usage.
    keys = (b'"cost', b'"is_byok"', b'"cachedContentTokenCount"')

    def event(block: bytes) -> bytes:
        nonlocal suffix, replaced, size
        if block.endswith(suffix) and (at := block.rfind(parent)) >= 0 and block.find(model, 0, -size) < 0:
            for key in keys:
                if block.find(key, at, -size) >= 0:
                    break
            else:
                return block[:-size] + replaced
        if (at := block.rfind(b'},"modelVersion": "')) > 0 and (to := block.find(b'"', at + 19)) > 0:
            suffix = block[at:]
            replaced = b',"cachedContentTokenCount":0},"modelVersion": "' + ALIAS.encode() + block[to:]
            size = len(suffix)
        return parse(block)

    return framed(event, task.separator)
