"""Replays a sample stream in awkward chunks, measures what the rewriter did and checks what came out."""

import json
import random
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sse_fast import Parser, Rewriter
from sse_fast.cli import blocks
from sse_fast.cli.compare import Pair, compare
from sse_fast.cli.scenarios import Events, Scenario

SEGMENT = 1_460  # what one TCP segment carries


def awkward_chunks(stream: bytes, *, seed: int = 1) -> Iterator[bytes]:
    """1 to 40 bytes at a time, cutting UTF-8 sequences, CRLFs and keys; long lines in segments of 1,460."""
    sizes = random.Random(seed)
    at = 0
    while at < len(stream):
        ahead = stream[at : at + SEGMENT]
        in_long_line = len(ahead) == SEGMENT and b"\n" not in ahead
        size = SEGMENT if in_long_line else sizes.randint(1, 40)
        yield stream[at : at + size]
        at += size


@dataclass
class Replay:
    """What one replay measured."""

    scenario: Scenario
    pairs: list[Pair]
    events: int
    chunks: int
    bytes_in: int
    largest_held: int
    seconds: float
    problems: list[str] = field(default_factory=list)

    @property
    def changed(self) -> list[Pair]:
        """The blocks that did not come out as they went in."""
        return [pair for pair in self.pairs if pair.changes]

    @property
    def edits(self) -> int:
        """The edits found by comparing; two that touch count as one, a dropped block as one."""
        return sum(len(pair.changes) for pair in self.pairs)

    @property
    def touched(self) -> int:
        """The input bytes that are not, byte for byte and in order, in the output."""
        return sum(change.end - change.start for pair in self.pairs for change in pair.changes)


def replay(scenario: Scenario, stream: bytes) -> Replay:
    """Send the stream through a rewriter in awkward chunks and compare with sending it block by block."""
    chunks = list(awkward_chunks(stream))
    rewriter = _rewriter(scenario)
    start = time.perf_counter()
    outputs = [rewriter.feed(chunk) for chunk in chunks]
    outputs.append(rewriter.finish())
    seconds = time.perf_counter() - start

    pairs = list(compare(_rewriter(scenario), stream))
    return Replay(
        scenario,
        pairs,
        events=rewriter.stats.events,
        chunks=len(chunks),
        bytes_in=len(stream),
        largest_held=_largest_held(pairs, chunks, outputs),
        seconds=seconds,
        problems=list(_problems(scenario, stream, pairs, b"".join(outputs))),
    )


def _rewriter(scenario: Scenario) -> Rewriter:
    return Rewriter(scenario.rules, comments=scenario.comments)


def _largest_held(pairs: Sequence[Pair], chunks: Sequence[bytes], outputs: Sequence[bytes]) -> int:
    """The most input that had gone in and not come out after any `feed`.

    Lengths alone do not tell, since edits change them. So each offset of the output is traced back to its
    offset of the input, along the stretches that are equal. Replaced and dropped bytes count as held until
    something that stands behind them comes out: the measure may be some bytes too high, never too low.
    """
    stretches = list(_equal_stretches(pairs))
    starts = [out_start for out_start, _, _ in stretches]
    fed = emitted = largest = 0
    for chunk, output in zip(chunks, outputs, strict=False):
        fed += len(chunk)
        emitted += len(output)
        nearest = bisect_left(starts, emitted) - 1
        returned = 0
        if nearest >= 0:
            out_start, in_start, length = stretches[nearest]
            returned = in_start + min(emitted - out_start, length)
        largest = max(largest, fed - returned)
    return largest


def _equal_stretches(pairs: Sequence[Pair]) -> Iterator[tuple[int, int, int]]:
    """The stretches that came out as they went in: offset in the output, offset in the input, length."""
    out = 0
    for pair in pairs:
        in_at = out_at = 0
        for change in pair.changes:
            yield out + out_at, pair.at + in_at, change.start - in_at
            in_at, out_at = change.end, change.new_end
        yield out + out_at, pair.at + in_at, len(pair.old) - in_at
        out += len(pair.new)


def _problems(scenario: Scenario, stream: bytes, pairs: Sequence[Pair], output: bytes) -> Iterator[str]:
    """Everything about the output that is not as it must be."""
    if output != b"".join(pair.new for pair in pairs):
        yield "the output depends on how the stream was cut"
    if _events(output) != scenario.expected(_events(stream)):
        yield "the parsed output is not what the rules promise"
    if len(Parser().feed(output)) != len(_events(output)):
        yield "a client would not dispatch every event"
    if _comments(output) != [
        comment if scenario.comments == "keep" else scenario.comments for comment in _comments(stream)
    ]:
        yield "the comments are not as they must be"


def _events(stream: bytes) -> Events:
    events: Events = []
    for at, raw in blocks.split(stream):
        block = blocks.read(raw, at)
        if block.is_event:
            text = block.payload.decode()
            events.append((block.name, json.loads(text) if text.startswith("{") else text))
    return events


def _comments(stream: bytes) -> list[str]:
    return [comment for at, raw in blocks.split(stream) for comment in blocks.read(raw, at).comments]
