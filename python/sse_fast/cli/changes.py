"""Finds what changed between a block and its rewriting, by comparing bytes and knowing nothing of the rules.

Both sides are cut into members (up to the next comma) and aligned, then what differs into tokens (a string,
a word or number, white space, one sign) and aligned again. What is aligned is equal byte for byte, so
"untouched" is proved, not assumed: a clumsy alignment can only make it look smaller.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

_STRING = rb'"[^"\\\r\n]*+(?:\\.[^"\\\r\n]*+)*+"'
_MEMBER = re.compile(rb"(?>" + _STRING + rb'|[^",])++,?|.', re.DOTALL)
_TOKEN = re.compile(_STRING + rb"|[A-Za-z0-9_.+\-\x80-\xff]+|[ \t]+|\r\n|.", re.DOTALL)

# `SequenceMatcher` is quadratic where pieces repeat; beyond this many, all of it is one change.
_MOST_PIECES = 8_000


@dataclass(frozen=True)
class Change:
    """`old[start:end]` became `new[new_start:new_end]`; one of them may be empty."""

    start: int
    end: int
    new_start: int
    new_end: int


def changes(old: bytes, new: bytes) -> list[Change]:
    """What changed, in order; everything between the changes is the same bytes."""
    if old == new:
        return []
    return [
        Change(
            coarse.start + fine.start,
            coarse.start + fine.end,
            coarse.new_start + fine.new_start,
            coarse.new_start + fine.new_end,
        )
        for coarse in _align(_MEMBER, old, new)
        for fine in _align(_TOKEN, old[coarse.start : coarse.end], new[coarse.new_start : coarse.new_end])
    ]


def _align(piece: re.Pattern[bytes], old: bytes, new: bytes) -> Iterator[Change]:
    before, after = piece.findall(old), piece.findall(new)
    head = _common(zip(before, after, strict=False))
    tail = _common(zip(reversed(before[head:]), reversed(after[head:]), strict=False))
    start = sum(map(len, before[:head]))
    before, after = before[head : len(before) - tail], after[head : len(after) - tail]
    old_at, new_at = _offsets(start, before), _offsets(start, after)
    for old_from, old_to, new_from, new_to in _differing(before, after):
        yield Change(old_at[old_from], old_at[old_to], new_at[new_from], new_at[new_to])


def _common(pairs: Iterable[tuple[bytes, bytes]]) -> int:
    count = 0
    for one, other in pairs:
        if one != other:
            break
        count += 1
    return count


def _offsets(start: int, pieces: list[bytes]) -> list[int]:
    """The offset before each piece, and the one after the last."""
    offsets = [start]
    for piece in pieces:
        offsets.append(offsets[-1] + len(piece))
    return offsets


def _differing(before: list[bytes], after: list[bytes]) -> Iterator[tuple[int, int, int, int]]:
    if max(len(before), len(after)) > _MOST_PIECES:
        yield 0, len(before), 0, len(after)
        return
    for tag, *span in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            old_from, old_to, new_from, new_to = span
            yield old_from, old_to, new_from, new_to
