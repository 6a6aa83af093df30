"""Streams of events: as an upstream sends them, and as the client must get them."""

from __future__ import annotations

import random
from collections.abc import Iterator

from sse_fast import Capture, Remove, Replace, Rules

RULES = Rules([Replace("$.model", "ours"), Remove("$.usage.cost"), Capture("usage", "$.usage")])
USAGE = {"total_tokens": 12, "cost": 0.5}
"""What `RULES` capture of a stream that came to its end."""
DONE = b"data: [DONE]\n\n"
COMMENT = b": still here\n\n"


class Stream:
    """A chat completion of so many events: what is `sent`, event by event, and what of it is `expected`."""

    def __init__(self, events: int, *, seed: int = 0, text_bytes: int = 60, comments: bool = False) -> None:
        source = random.Random(seed)
        self.sent: list[bytes] = []
        self.expected: list[bytes] = []
        for number in range(events):
            text = f"{number} {source.randbytes(source.randint(0, text_bytes // 2)).hex()}"
            self._add(b'data: {"model":"%s","choices":[{"delta":{"content":"' + text.encode() + b'"}}]}\n\n')
            if comments and source.random() < 0.3:
                self._add(COMMENT)
        self._add(b'data: {"model":"%s","choices":[],"usage":{"total_tokens":12', b',"cost":0.5', b"}}\n\n")
        self._add(DONE)

    def _add(self, start: bytes, cost: bytes = b"", end: bytes = b"") -> None:
        self.sent.append(start.replace(b"%s", b"upstream-1") + cost + end)
        self.expected.append(start.replace(b"%s", b"ours") + end)

    @property
    def input(self) -> bytes:
        return b"".join(self.sent)

    @property
    def output(self) -> bytes:
        return b"".join(self.expected)


def pieces(data: bytes, source: random.Random, mean: int = 90) -> Iterator[bytes]:
    """The data, cut anywhere."""
    start = 0
    while start < len(data):
        size = source.randint(1, 2 * mean)
        yield data[start : start + size]
        start += size


def large_event(size: int) -> tuple[bytes, bytes]:
    """One event of about this size, sent and expected: its model stands behind its text."""
    start = b'data: {"text":"' + b"x" * size + b'","model":"'
    return start + b'upstream-1"}\n\n', start + b'ours"}\n\n'


def blocks(output: bytes) -> list[bytes]:
    """The blocks of a stream whose lines end in LF; the last one may be unfinished."""
    *whole, rest = output.split(b"\n\n")
    return [block + b"\n\n" for block in whole] + [rest] * bool(rest)


def without(output: bytes, block: bytes) -> tuple[bytes, int]:
    """The stream without such blocks, and how many there were."""
    every = blocks(output)
    kept = [each for each in every if each != block]
    return b"".join(kept), len(every) - len(kept)
