"""Cuts a recorded event stream into its blocks, for the commands that look at one event after the other.

A recording is small and whole, so this is two regular expressions. The engine does the same work on chunks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

BOM = b"\xef\xbb\xbf"

_LINE_ENDING = rb"(?>\r\n|\r|\n)"
_LINE = re.compile(rb"([^\r\n]*+)(" + _LINE_ENDING + rb"|\Z)")
# Lines that hold something, then a blank line; or what an interrupted stream leaves.
_BLOCK = re.compile(rb"(?>[^\r\n]++" + _LINE_ENDING + rb")*+(?:" + _LINE_ENDING + rb"|[^\r\n]++\Z|\Z)")


def split(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Each block with its offset; together they are the stream."""
    start = len(BOM) if stream.startswith(BOM) else 0  # a line that holds nothing but the BOM is blank
    at = 0
    while at < len(stream):
        block = _BLOCK.match(stream, max(start, at))
        assert block is not None  # the pattern matches anything
        yield at, stream[at : block.end()]
        at = block.end()


@dataclass
class Block:
    """What the lines of one block say."""

    name: str = "message"
    data: list[bytes] = field(default_factory=list)
    ids: int = 0
    retries: int = 0
    comments: list[str] = field(default_factory=list)
    endings: list[bytes] = field(default_factory=list)

    @property
    def is_event(self) -> bool:
        """Whether the block has a `data:` line."""
        return bool(self.data)

    @property
    def payload(self) -> bytes:
        """The data lines, joined as a client joins them."""
        return b"\n".join(self.data)


def read(block: bytes, at: int) -> Block:
    """Read the fields of the block that stands at this offset of its stream."""
    read = Block()
    for line, ending in _LINE.findall(block.removeprefix(BOM) if at == 0 else block):
        if ending:
            read.endings.append(ending)
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"" if line:
                read.comments.append(value.decode(errors="replace"))
            case b"event":
                read.name = value.decode(errors="replace") or "message"
            case b"data":
                read.data.append(value)
            case b"id":
                read.ids += 1
            case b"retry":
                read.retries += 1
    return read
