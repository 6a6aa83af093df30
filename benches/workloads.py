"""What is timed: streams, how they are cut, who runs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import contenders
import streams
from contenders import Contender
from streams import Stream
from tasks import TASKS, Task

KIB = 1 << 10
MIB = 1 << 20


@dataclass(frozen=True)
class Workload:
    """One stream, cut in one way. Times are given for each `unit`."""

    name: str
    stream: Stream
    chunks: tuple[bytes, ...]
    task: str
    contenders: tuple[Contender, ...]
    unit: str = "event"
    # Milliseconds between two calls, in which other work takes the caches.
    idle: float = 0

    @property
    def units(self) -> int:
        return len(self.stream.events if self.unit == "event" else self.chunks)

    @property
    def rules(self) -> Task:
        return TASKS[self.task]


def outputs(contender: Contender, rewrite: Any, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What a contender gives for the chunks of one stream."""
    if contender.kind == "pull":
        yield from rewrite(chunks)
    else:
        for chunk in chunks:
            yield rewrite(chunk)


def _cut(name: str, stream: Stream, size: int, who: tuple[Contender, ...], unit: str = "event") -> Workload:
    return Workload(name, stream, tuple(streams.cut(stream.body, size)), stream.api, who, unit)


def by_size(size: int, chunk: int = 4 * KIB) -> Workload:
    """Events of a size, each begun with a chunk of its own: one, or as many small ones as a clock needs."""
    pictures = [streams.picture(size, seed) for seed in range(max(1, 64 * KIB // size))]
    events, expected = zip(*((one.events[0], one.expected[0]) for one in pictures), strict=True)
    chunks = tuple(part for event in events for part in streams.cut(event, chunk))
    linear = (contenders.SSE_FAST, contenders.ORJSON, contenders.JSON, contenders.COPY)
    slow = (contenders.ANTHROPIC,) if size <= 4 * MIB else ()
    return Workload(f"{size} bytes", Stream("chat", events, expected), chunks, "chat", linear + slow)


def workloads(quick: bool = False) -> Iterator[Workload]:
    """All of them, each made when its turn comes."""
    count = 200 if quick else streams.EVENTS
    hand_written = (
        contenders.SSE_FAST,
        contenders.SPLICE,
        contenders.PREFILTER,
        contenders.ORJSON,
        contenders.JSON,
    )
    libraries = (contenders.HTTPX_SSE, contenders.OPENAI, contenders.ANTHROPIC)
    everyone = (*hand_written, *libraries, contenders.NODE, contenders.NODE_PIPELINE, contenders.COPY)
    for api in streams.SHAPES:
        stream = streams.stream(api, count)
        yield Workload(f"{api}, one event per chunk", stream, stream.events, api, everyone)
    quiet = streams.nothing_matches(count)
    yield Workload("nothing matches, one event per chunk", quiet, quiet.events, "nothing matches", everyone)

    mixed = streams.mixed(count)
    yield Workload("mixed chat, one event per chunk", mixed, mixed.events, "chat", everyone)

    chunked = (*hand_written[:2], contenders.BATCHED, *hand_written[2:], *libraries, contenders.NODE, contenders.COPY)
    chat = streams.stream("chat", count)
    yield _cut("chat, 16 KiB chunks", chat, 16 * KIB, chunked)
    yield _cut("chat, 64 KiB chunks", chat, 64 * KIB, chunked)
    short = streams.stream("chat", count // 10)
    by_byte = (*hand_written, *libraries, contenders.COPY_BYTE)
    yield _cut("chat, one byte per chunk", short, 1, by_byte, "chunk")
    size = MIB if quick else 16 * MIB
    big = (contenders.SSE_FAST, contenders.ORJSON, contenders.JSON, contenders.NODE, contenders.COPY)
    yield _cut(f"one {size // MIB} MiB event, 4 KiB chunks", streams.picture(size), 4 * KIB, big, "chunk")
    yield Workload(
        "chat, one event per chunk, cold", chat, chat.events, "chat", (*hand_written, contenders.COPY), idle=2
    )
