"""Upstreams that follow a script, and streams that keep their reports, for the tests of `sse_fast.aio`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sse_fast import Capture, Rewriter, Rules
from sse_fast import Set as SetRule
from sse_fast.aio import RewriteStream, StreamReport

RULES = Rules([SetRule("$.model", "alias"), Capture("usage", "$.usage")])
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
MOMENT = 0.01
LONG = 3600.0

PUMPED: dict[str, dict[str, Any]] = {
    "heartbeat": {"heartbeat": LONG},
    "idle timeout": {"idle_timeout": LONG},
    "drain": {"on_disconnect": "drain"},
}
every_mode = pytest.mark.parametrize("mode", [{}, *PUMPED.values()], ids=["plain", *PUMPED])


def event(number: int, model: str = "x") -> bytes:
    return b'data: {"model":"%s", "usage":%d}\n\n' % (model.encode(), number)


class Upstream:
    """Sends chunks, waits at an `asyncio.Event`, raises exceptions; counts what is asked of it."""

    def __init__(self, *script: Any, close_error: Exception | None = None) -> None:
        self.script = script
        self.close_error = close_error
        self.asked = 0
        self.closings = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self.script:
            self.asked += 1
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, BaseException):
                raise step
            else:
                yield step

    async def aclose(self) -> None:
        self.closings += 1
        await asyncio.sleep(0)
        if self.close_error is not None:
            raise self.close_error


class Stream:
    """A stream with its reports."""

    def __init__(self, upstream: Any, rewriter: Any = None, **options: Any) -> None:
        self.reports: list[StreamReport] = []
        rewriter = Rewriter(RULES) if rewriter is None else rewriter
        self.stream = RewriteStream(upstream, rewriter, on_end=self.reports.append, **options)

    @property
    def report(self) -> StreamReport:
        (report,) = self.reports
        assert report == self.stream.report
        return report

    async def read(self) -> list[bytes]:
        async with self.stream as stream:
            return [output async for output in stream]

    async def read_until_it_raises(self, error: type[BaseException]) -> list[bytes]:
        outputs: list[bytes] = []

        async def read() -> None:
            async with self.stream as stream:
                async for output in stream:
                    outputs.append(output)

        with pytest.raises(error) as raised:
            await read()
        assert raised.value is self.report.error
        return outputs


class OwnDialect:
    keep_alive = b'event: ping\ndata: {"type": "ping"}\n\n'

    def is_terminal(self, report: StreamReport) -> bool:
        return report.captured["usage"] == 99

    def error_event(self, error: BaseException, report: StreamReport) -> bytes:
        return b"event: error\ndata: %s after %d\n\n" % (type(error).__name__.encode(), report.captured["usage"])
