"""Sends a recorded stream through a rewriter block by block, to set each block beside its rewriting."""

from collections.abc import Iterator
from dataclasses import dataclass

from sse_fast import Rewriter
from sse_fast.cli import blocks
from sse_fast.cli.changes import Change, changes


@dataclass(frozen=True)
class Pair:
    """A block, its rewriting (nothing, if it was dropped) and what changed between them."""

    title: str
    at: int
    old: bytes
    new: bytes
    changes: list[Change]


def compare(rewriter: Rewriter, stream: bytes) -> Iterator[Pair]:
    """Each block of the stream with its rewriting; the last one with what `finish` adds."""
    events = 0
    for at, old in blocks.split(stream):
        is_event = blocks.read(old, at).is_event
        events += is_event
        new = rewriter.feed(old)
        if at + len(old) == len(stream):
            new += rewriter.finish()
        title = f"event {events}" if is_event else "block without data"
        yield Pair(f"{title}, byte {at:,}", at, old, new, changes(old, new))
