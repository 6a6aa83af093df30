"""Cutting a byte stream into events, as fast as pure Python does it: the part that the hand-written rivals share."""

from collections.abc import Callable

Feed = Callable[[bytes], bytes]


def framed(rewrite: Callable[[bytes], bytes], separator: bytes) -> Feed:
    """A feed that hands every whole event to `rewrite`.

    Time is linear: what is held is joined once, where an end of line may have completed it, and only the new bytes are
    searched.
    """
    held: list[bytes] = []
    width = len(separator)
    back = width - 1

    def feed(chunk: bytes) -> bytes:
        start = 0
        if held:
            held.append(chunk)
            if chunk.find(b"\n") < 0:
                return b""
            data = b"".join(held)
            held.clear()
            start = max(0, len(data) - len(chunk) - back)
        else:
            data = chunk
        end = data.find(separator, start) + width
        if end < width:
            held.append(data)
            return b""
        if end == len(data):
            return rewrite(data)
        out = []
        start = 0
        while end >= width:
            out.append(rewrite(data[start:end]))
            start = end
            end = data.find(separator, start) + width
        if start < len(data):
            held.append(data[start:])
        return b"".join(out)

    return feed
