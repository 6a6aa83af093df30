"""Streams that are read, left, closed, dropped and cancelled at random, over sources that fail and dawdle at random.

No sockets: each life takes a few turns of the loop. Whatever happens, what came out is right, the source is closed once
and the report says how it ended. Another seed is another life: `SSE_FAST_LIVE_TRIALS` makes it more of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections.abc import AsyncIterator

import pytest
from sse_fast import IdleTimeoutError, Rewriter, TruncatedError
from sse_fast.aio import RewriteStream, StreamReport

from live.events import RULES, USAGE, Stream, pieces, without
from live.servers import SERVERS, Server
from live.watch import TRIALS, named, run, soon

KEEP_ALIVE = b": keep-alive\n\n"
LONG = 3600.0
STREAM = Stream(8, comments=True)


class Source:
    """Sends the stream, cut at random, up to where it fails, if it does; counts its closings."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        ends_at = source.choice([None, None, source.randint(0, len(STREAM.input))])
        self.data = STREAM.input[:ends_at]
        self.error = source.choice([None, ConnectionResetError("reset"), TimeoutError("read")]) if ends_at else None
        self.hangs = self.error is None and ends_at is not None and source.random() < 0.3
        self.chunks = pieces(self.data, source, source.choice([10, 60, 300]))
        self.close_error = source.choice([None, None, OSError("close")])
        self.reading = False
        self.closings = self.closed = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        assert not self.reading, "read by two at once"
        assert not self.closings, "read after it was closed"
        self.reading = True
        try:
            await self.dawdle(2)
            for chunk in self.chunks:
                return chunk
            if self.hangs:
                await asyncio.sleep(LONG)
            raise self.error or StopAsyncIteration
        finally:
            self.reading = False

    async def aclose(self) -> None:
        assert not self.reading, "closed while it is read"
        self.closings += 1
        await self.dawdle(4)
        self.closed += 1
        if self.close_error is not None:
            raise self.close_error

    async def dawdle(self, steps: int) -> None:
        for _ in range(self.source.randint(0, steps)):
            await asyncio.sleep(0)


class Generator(Source):
    """The same, read through a generator that is closed first."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._generate()

    async def _generate(self) -> AsyncIterator[bytes]:
        try:
            while True:
                try:
                    chunk = await self.__anext__()
                except StopAsyncIteration:
                    return
                yield chunk
        finally:
            await self.dawdle(2)


class Life:
    """One stream and what is done to it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        choice = self.random.choice
        self.source = choice([Source, Generator])(self.random)
        self.errors = choice(["raise", "event"])
        self.max_held = choice([1 << 20, 1 << 20, 40])  # less than an event: it leaves in pieces
        self.drains = self.random.random() < 0.2
        self.reports: list[StreamReport] = []
        self.over = asyncio.Event()
        self.stream: RewriteStream | None = RewriteStream(
            self.source,
            Rewriter(RULES, max_held=self.max_held),
            errors=self.errors,
            heartbeat=choice([None, None, LONG, 1e-9]),
            idle_timeout=choice([None, None, LONG, 1e-4]),
            on_disconnect="drain" if self.drains else "cancel",
            drain_timeout=choice([LONG, 1e-4]) if not self.source.hangs else 1e-4,
            on_end=self._on_end,
        )
        self.taps = [self.stream.tap(choice(["upstream", "client"])) for _ in range(self.random.randint(0, 2))]
        self.received: list[bytes] = []
        self.ended = False
        self.raised: BaseException | None = None
        self.cancels = 0

    def __str__(self) -> str:
        return f"{vars(self)}\n{vars(self.source)}"

    def _on_end(self, report: StreamReport) -> None:
        assert self.source.closings == self.source.closed == 1
        self.reports.append(report)
        self.over.set()

    async def live(self) -> None:
        ways = [self._read_all, self._read_all, self._break_off, self._peek_first, self._let_another_close, self._drop]
        self.way = self.random.choice(ways)
        task = asyncio.ensure_future(self.way())
        for _ in range(self.random.choice([0, 0, 1, 1, 2, 3])):
            await self.source.dawdle(60 if not self.cancels else 5)
            self.cancels += task.cancel()
        if self.source.hangs:
            await self.source.dawdle(200)
            self.cancels += task.cancel()
        (self.raised,) = await soon(asyncio.gather(task, return_exceptions=True))
        if self.stream is not None:
            await self.stream.aclose()  # as by `async with`, if the task was cancelled before it came that far
        await soon(self._closing())
        for tap in self.taps:
            await soon(tap.read())  # it has ended, too
        self._judge()

    async def _closing(self) -> None:
        while not self.over.is_set():
            gc.collect(0)
            await asyncio.sleep(0)

    # What is done to it.

    async def _read_all(self) -> None:
        assert self.stream is not None
        async with self.stream as stream:
            async for chunk in stream:
                self.received.append(chunk)
                await self.source.dawdle(2)
            self.ended = True

    async def _break_off(self) -> None:
        assert self.stream is not None
        number = self.random.randint(0, 8)
        async with self.stream as stream:
            async for chunk in stream:
                self.received.append(chunk)
                if len(self.received) > number:
                    break

    async def _peek_first(self) -> None:
        assert self.stream is not None
        async with self.stream as stream:
            for _ in range(self.random.randint(1, 2)):
                await stream.peek()
            await self._read_all()

    async def _let_another_close(self) -> None:
        assert self.stream is not None
        stream = self.stream

        async def close() -> None:
            await self.source.dawdle(40)
            await stream.aclose()

        closing = asyncio.ensure_future(close())
        try:
            await self._read_all()
        finally:
            self.ended = False  # or closed: that looks the same
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(closing)
            await closing

    async def _drop(self) -> None:
        assert self.stream is not None
        self.received.append(await anext(self.stream, b""))
        self.stream = None

    # What must be true of it.

    def _judge(self) -> None:
        (report,) = self.reports
        assert (self.source.closings, self.source.closed) == (1, 1)
        output, _ = without(b"".join(self.received), KEEP_ALIVE)
        output, error, _ = output.partition(b"event: error\n")
        assert STREAM.output.startswith(output)
        # A block without data that was cut passes; nobody takes it for an event.
        last = output.rfind(b"\n\n") + 2 if b"\n\n" in output else 0
        whole, rest = output[:last], output[last:]
        if self.max_held > 40 or self.ended:
            assert not rest.startswith(b"data:")
        all_came = self.source.data == STREAM.input
        if report.outcome == "completed":
            assert output == STREAM.output or not all_came or self.ended
            assert not error
        if self.ended:
            assert report.outcome != "cancelled"
            assert bool(error) == (report.outcome != "completed")
            assert report.outcome == "idle_timeout" or len(whole) == whole_length(
                self.source.data, ends_well=self.source.error is None
            )
        if error:
            assert self.errors == "event"
        if self.raised is None:
            pass
        elif isinstance(self.raised, asyncio.CancelledError):
            assert self.cancels
        else:
            assert self.raised is report.error or self.raised is self.source.error, self.raised
            assert isinstance(self.raised, OSError | TimeoutError | TruncatedError | IdleTimeoutError)
            assert report.outcome in ("upstream_error", "truncated", "idle_timeout")
        if report.outcome == "completed" and all_came:
            assert report.captured["usage"] == USAGE


def whole_length(data: bytes, *, ends_well: bool) -> int:
    """Of the output that whole events of the input give; at a good end, the last one may lack its blank line."""
    length = 0
    rest = data
    for sent, expected in zip(STREAM.sent, STREAM.expected, strict=True):
        if not rest.startswith(sent):
            lacks = len(sent) - len(rest)
            return length + len(expected) * (ends_well and bool(rest) and lacks <= 2 and sent.startswith(b"data:"))
        rest = rest[len(sent) :]
        length += len(expected)
    return length


@pytest.mark.parametrize("server", SERVERS[:2], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("part", range(2))
def test_random_lives(server: Server, part: int) -> None:
    """In the loop of the server."""
    first = TRIALS * (2 * SERVERS.index(server) + part)

    async def scenario() -> None:
        for seed in range(first, first + TRIALS):
            life = Life(seed)
            await named(life, life.live())

    run(scenario(), server.loop_factory, seconds=60 + TRIALS / 10)
