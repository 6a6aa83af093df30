"""How the commands show bytes on a terminal: safe to print, short, and coloured where colours are wanted."""

import os
import re
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from sse_fast.cli.changes import Change

OLD, NEW, QUIET = "red", "green", "dim"

_FRAGMENT = 80  # characters shown of one changed fragment
_CONTEXT = 40  # characters shown of an unchanged stretch between two changes
_MARK = 16  # an elision that saves less than this is not worth its mark

_KEY_BEFORE = re.compile(rb'"(?:[^"\\\r\n]|\\.)*"\s*:\s*\Z')


def console() -> Console:
    """Standard output: colours on a terminal only, and none at all under `NO_COLOR`."""
    return Console(color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False, soft_wrap=True)


def printable(text: str) -> str:
    """The text without anything that a terminal could take for a command."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def elide(data: bytes, width: int = _FRAGMENT) -> str:
    """The bytes as printable text; of longer ones the two ends, and how much is left out between them."""
    text = data.decode(errors="backslashreplace")
    if len(text) <= width + _MARK:
        return printable(text)
    side = width // 2
    return f"{printable(text[:side])}…{len(text) - 2 * side:,} more…{printable(text[-side:])}"


def fragments(old: bytes, new: bytes, found: Sequence[Change]) -> Iterator[tuple[int, Text]]:
    """Each change as one or two lines, the old fragment and the new one, with its offset in the block."""
    for change in found:
        key = _KEY_BEFORE.search(old, max(0, change.start - 80), change.start)
        context = (elide(key[0]), QUIET) if key else ""
        before, after = old[change.start : change.end], new[change.new_start : change.new_end]
        if before:
            yield change.start, Text.assemble("- ", context, (elide(before), OLD))
        if after:
            yield change.start, Text.assemble("+ ", context, (elide(after), NEW))


def before_and_after(old: bytes, new: bytes, found: Sequence[Change]) -> tuple[Text, Text]:
    """The whole block before and after, its changes coloured and what did not change cut short."""
    return (
        _highlighted("- ", old, [(change.start, change.end) for change in found], OLD),
        _highlighted("+ ", new, [(change.new_start, change.new_end) for change in found], NEW),
    )


def _highlighted(sign: str, block: bytes, spans: Sequence[tuple[int, int]], style: str) -> Text:
    line = Text(sign, style)
    at = 0
    for start, end in spans:
        line.append(elide(block[at:start], _CONTEXT), QUIET)
        line.append(elide(block[start:end]), style)
        at = end
    line.append(elide(block[at:], _CONTEXT), QUIET)
    return line
