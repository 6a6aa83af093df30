"""Streams over sources that take loop steps to read and to close, watched for what must hold whoever leaves when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sse_fast import Rewriter
from sse_fast.aio import RewriteStream, StreamReport

from live.events import DONE, RULES, Stream
from live.watch import soon

LONG = 3600.0
MODES: dict[str, dict[str, Any]] = {
    "plain": {},
    "heartbeat": {"heartbeat": LONG},
    "heartbeat always due": {"heartbeat": 1e-9},
    "idle timeout": {"idle_timeout": LONG},
    "all": {"heartbeat": LONG, "idle_timeout": LONG, "errors": "event"},
}
DRAIN: dict[str, Any] = {"on_disconnect": "drain", "drain_timeout": LONG}
every_mode = pytest.mark.parametrize("options", MODES.values(), ids=MODES)
every_mode_and_drain = pytest.mark.parametrize("options", [*MODES.values(), DRAIN], ids=[*MODES, "drain"])

STREAM = Stream(4)


class Source:
    """An upstream that takes loop steps to read and to close, and counts who closes it."""

    def __init__(self, *, read_steps: int = 2, close_steps: int = 3, close_error: BaseException | None = None) -> None:
        self._chunks = iter(STREAM.sent)
        self._read_steps = read_steps
        self._close_steps = close_steps
        self._close_error = close_error
        self.closings = 0
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await steps(self._read_steps)
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closings += 1
        await steps(self._close_steps)
        self.closed += 1
        if self._close_error is not None:
            raise self._close_error


class Response:
    """What owns a source: here a generator, as of httpx's `aiter_bytes`."""

    def __init__(self, **options: Any) -> None:
        self.source = Source(**options)
        self.generators_closed = 0

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self.source:
                yield chunk
        finally:
            await steps(1)
            self.generators_closed += 1

    async def aclose(self) -> None:
        await self.source.aclose()

    @property
    def closings(self) -> int:
        return self.source.closings

    @property
    def closed(self) -> int:
        return self.source.closed


class Stacked(Response):
    """A stream behind a stream."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._inner = RewriteStream(self.source, Rewriter([]), heartbeat=LONG)

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        return self._inner

    async def aclose(self) -> None:
        await self._inner.aclose()


SOURCES: dict[str, Callable[..., Any]] = {"iterator": Source, "response": Response, "stacked": Stacked}
every_source = pytest.mark.parametrize("source_type", SOURCES.values(), ids=SOURCES)


class Watched:
    """A stream with its source, its reports and what came out of it."""

    def __init__(self, source: Any, **options: Any) -> None:
        self.source = source
        self.reports: list[StreamReport] = []
        self.ended = asyncio.Event()
        self.received: list[bytes] = []
        self.cancelling: int | None = None
        self.stream = RewriteStream(source, Rewriter(RULES), on_end=self._on_end, **options)

    def _on_end(self, report: StreamReport) -> None:
        self.reports.append(report)
        self.ended.set()

    async def consume(self) -> None:
        """As a server does; notes how many cancels are pending where one goes up."""
        try:
            async with self.stream as stream:
                async for chunk in stream:
                    self.received.append(chunk)
                    await asyncio.sleep(0)  # sending
        except asyncio.CancelledError:
            self.cancelling = current_cancelling()
            raise

    @property
    def output(self) -> bytes:
        """What came out, without keep-alives."""
        return b"".join(chunk for chunk in self.received if not chunk.startswith(b":"))

    async def is_over(self, outcome: str) -> None:
        """The invariants."""
        await soon(self.ended.wait())
        assert (self.source.closings, self.source.closed) == (1, 1)
        assert [report.outcome for report in self.reports] == [outcome]
        assert self.stream.report == self.reports[0]
        assert STREAM.output.startswith(self.output)
        if outcome == "completed":
            assert self.output == STREAM.output


async def steps(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def current_cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


def expected_outcome(watched: Watched) -> str:
    """Who leaves after `[DONE]` has had it all."""
    return "completed" if watched.output.endswith(DONE) else "cancelled"


def raising(error: BaseException) -> Any:
    yield STREAM.sent[0]
    raise error
