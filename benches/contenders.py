"""The contenders: each does the same task and gives the stream's bytes back, each as fast as its approach allows.

A contender is made for one stream. Most take chunks (`Feed`); the SDKs' decoders draw them from an iterator
(`Pull`). What they promise differs (README.md): all but sse_fast spell the events anew or miss keys spelled with
escapes; the rivals are told the line ending of their upstream, need no `finish` and check no limits.
"""

import codecs
import functools
import importlib
import json
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from framing import Feed, framed
from splice import batched, spliced
from sse_fast import Rewriter, Rules
from tasks import Task

Pull = Callable[[Iterable[bytes]], Iterator[bytes]]
Event = Callable[[bytes], bytes]


def sse_fast(task: Task) -> Callable[[], Feed]:
    rules = Rules(task.rules)
    return lambda: Rewriter(rules).feed


def on_events(event: Callable[[Task], Event]) -> Callable[[Task], Callable[[], Feed]]:
    """A contender out of what it does to one event."""
    return lambda task: lambda: framed(event(task), task.separator)


def json_event(task: Task) -> Event:
    """Python's own json, with the decoder and the encoder made once."""
    loads = json.JSONDecoder().decode
    dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    edit, separator = task.edit, task.separator
    width = len(separator)

    def event(block: bytes) -> bytes:
        at = block.find(b"data: ") + 6
        try:
            value = loads(block[at:-width].decode())
        except ValueError:  # [DONE]
            return block
        edit(value)
        return block[:at] + dumps(value).encode() + separator

    return event


def orjson_event(task: Task) -> Event:
    import orjson

    loads, dumps = orjson.loads, orjson.dumps
    edit, separator = task.edit, task.separator
    width = len(separator)

    def event(block: bytes) -> bytes:
        at = block.find(b"data: ") + 6
        try:
            value = loads(block[at:-width])
        except ValueError:  # [DONE]
            return block
        edit(value)
        return block[:at] + dumps(value) + separator

    return event


def orjson_prefilter_event(task: Task) -> Event:
    """An event without a key of the task passes unparsed."""
    parse, keys = orjson_event(task), task.keys

    def event(block: bytes) -> bytes:
        for key in keys:
            if block.find(key) >= 0:
                return parse(block)
        return block

    return event


def splice(task: Task) -> Callable[[], Feed]:
    return lambda: spliced(task, orjson_event(task))


def splice_batched(task: Task) -> Callable[[], Feed]:
    return lambda: batched(task, orjson_event(task))


def _emitter(task: Task) -> Callable[[Any], str]:
    """Writes a decoded event: the same for every decoder that gives events with `event` and `data`."""
    loads = json.JSONDecoder().decode
    dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    edit, separator = task.edit, task.separator.decode()
    line = separator[: len(separator) // 2]

    def emit(event: Any) -> str:
        data = event.data
        if data != "[DONE]":
            value = loads(data)
            edit(value)
            data = dumps(value)
        name = event.event
        if name is None or name == "message":
            return f"data: {data}{separator}"
        return f"event: {name}{line}data: {data}{separator}"

    return emit


def httpx_sse(task: Task) -> Callable[[], Feed]:
    from httpx_sse._decoders import SSEDecoder, SSELineDecoder

    emit = _emitter(task)

    def make() -> Feed:
        text = codecs.getincrementaldecoder("utf-8")().decode
        lines = SSELineDecoder().decode
        decode = SSEDecoder().decode

        def feed(chunk: bytes) -> bytes:
            out = ""
            for line in lines(text(chunk)):
                event = decode(line)
                if event is not None:
                    out += emit(event)
            return out.encode()

        return feed

    return make


def sdk(module: str) -> Callable[[Task], Callable[[], Pull]]:
    """The decoder inside an SDK."""

    def contender(task: Task) -> Callable[[], Pull]:
        decoder = importlib.import_module(f"{module}._streaming").SSEDecoder
        emit = _emitter(task)

        def pull(chunks: Iterable[bytes]) -> Iterator[bytes]:
            for event in decoder().iter_bytes(iter(chunks)):
                yield emit(event).encode()

        return lambda: pull

    return contender


def copy(task: Task) -> Callable[[], Feed]:
    """The floor: a new bytes object and a memcpy per chunk, by the cheapest calls that Python has."""
    return lambda: operator.itemgetter(slice(1, None))


def copy_byte(task: Task) -> Callable[[], Feed]:
    """The floor for one-byte chunks, where `copy` would find Python's ready empty object."""
    return lambda: functools.partial(operator.add, b"\n")


def nothing(task: Task) -> Callable[[], None]:
    """For a rival in a process of its own."""
    return lambda: None


@dataclass(frozen=True)
class Contender:
    """A name for tables and how to get one."""

    name: str
    prepare: Callable[[Task], Callable[[], Any]]
    needs: str = "sse_fast"
    kind: Literal["feed", "pull", "node"] = "feed"
    # Gives the stream's events back; a copy only its bytes.
    rewrites: bool = True
    # What to ask the process in Node for.
    how: str = "calls"
    # Its time grows with the square of an event's size.
    quadratic: bool = False

    def is_here(self) -> bool:
        """Whether its library is installed; for Node its process says so."""
        try:
            importlib.import_module(self.needs)
        except ImportError:
            return False
        return True


SSE_FAST = Contender("sse_fast", sse_fast)
SPLICE = Contender("learned-prefix splice", splice, "orjson")
BATCHED = Contender("learned-prefix splice, batched", splice_batched, "orjson")
PREFILTER = Contender("orjson with find prefilter", on_events(orjson_prefilter_event), "orjson")
ORJSON = Contender("bytes framing + orjson", on_events(orjson_event), "orjson")
JSON = Contender("bytes framing + json", on_events(json_event))
HTTPX_SSE = Contender("httpx-sse + json", httpx_sse, "httpx_sse")
OPENAI = Contender("openai's decoder + json", sdk("openai"), "openai", kind="pull")
ANTHROPIC = Contender("anthropic's decoder + json", sdk("anthropic"), "anthropic", kind="pull", quadratic=True)
NODE = Contender("Node, eventsource-parser + JSON", nothing, kind="node")
NODE_PIPELINE = Contender("Node, the same as web streams", nothing, kind="node", how="pipeline")
COPY = Contender("alloc + memcpy", copy, rewrites=False)
COPY_BYTE = Contender("alloc + memcpy", copy_byte, rewrites=False)

RIVALS = (SPLICE, BATCHED, PREFILTER, ORJSON, JSON, HTTPX_SSE, OPENAI, ANTHROPIC)
