"""Reads that whoever waits runs, in the name of one task: what source, client and collector may notice of it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sse_fast import Rewriter
from sse_fast.aio import RewriteStream, StreamReport

from live.watch import SOON, run, soon
from live.watched import DRAIN, LONG, MODES, steps

PUMPED: dict[str, dict[str, Any]] = {name: options for name, options in MODES.items() if options} | {"drain": DRAIN}
every_pump = pytest.mark.parametrize("options", PUMPED.values(), ids=PUMPED)

FIRST, SECOND, THIRD = (b"data: %d\n\n" % number for number in (1, 2, 3))


def is_beat(chunk: bytes) -> bool:
    return chunk.startswith(b":")


async def collected(stream: RewriteStream) -> list[bytes]:
    async with stream:
        return [chunk async for chunk in stream if not is_beat(chunk)]


class Owner:
    """Who owns a stream is in a cycle with it, by `on_end`."""

    def __init__(self, source: Any, **options: Any) -> None:
        self.reports: list[StreamReport] = []
        self.stream = RewriteStream(source, Rewriter([]), on_end=self.on_end, **options)

    def on_end(self, report: StreamReport) -> None:
        self.reports.append(report)


@every_pump
def test_a_stream_left_during_a_read_is_collected(options: dict[str, Any]) -> None:
    async def leave() -> weakref.ref[Owner]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def source() -> AsyncIterator[bytes]:
            yield FIRST
            await future

        owner = Owner(source(), **options)
        consumer = asyncio.create_task(collected(owner.stream))
        await steps(8)
        consumer.cancel()
        if options is DRAIN:
            future.set_result(None)
        await soon(asyncio.wait({consumer}))
        while not owner.reports:
            await asyncio.sleep(0.005)
        return weakref.ref(owner)

    async def scenario() -> None:
        owner = await soon(leave())
        await steps(5)
        gc.collect()
        assert owner() is None

    run(scenario())


@every_pump
def test_a_stream_dropped_between_chunks_is_closed_without_a_word(options: dict[str, Any]) -> None:
    async def scenario() -> None:
        reports: list[StreamReport] = []

        async def drop() -> None:
            async def source() -> AsyncIterator[bytes]:
                yield FIRST
                yield SECOND

            owner = Owner(source(), **options | {key: 0.01 for key in options if key in ("heartbeat", "idle_timeout")})
            owner.reports = reports
            assert await anext(owner.stream)

        await drop()
        async with asyncio.timeout(SOON):
            while not reports:  # A timer holds the stream until it rings.
                await asyncio.sleep(0.01)
                gc.collect()
        await asyncio.sleep(0.01)
        assert len(reports) == 1

    run(scenario())  # asserts that nothing is logged


def test_a_timeout_of_the_source_that_rings_while_nobody_asks_is_no_end() -> None:
    async def scenario() -> None:
        async def source() -> AsyncIterator[bytes]:
            async with asyncio.timeout(0.01):
                yield FIRST
                yield SECOND

        stream = RewriteStream(source(), Rewriter([]), heartbeat=LONG)
        assert await anext(stream) == FIRST
        await asyncio.sleep(0.05)
        with pytest.raises((asyncio.CancelledError, TimeoutError)):
            await anext(stream)
        await stream.aclose()
        assert stream.report.outcome != "completed"

    run(scenario())


@pytest.mark.parametrize("chunks", range(3))
@every_pump
def test_a_cancel_of_the_reading_task_alone_at_every_step(options: dict[str, Any], chunks: int) -> None:
    """While it reads and while it rests: the client never takes it for the end."""

    async def scenario() -> None:
        for step in range(8):

            async def source() -> AsyncIterator[bytes]:
                for chunk in (FIRST, SECOND, THIRD):
                    await steps(2)
                    yield chunk

            owner = Owner(source(), **options)
            before = asyncio.all_tasks()

            async def consume(stream: RewriteStream = owner.stream) -> list[bytes]:
                async with stream:
                    return [await anext(stream) for _ in range(chunks)] + await collected(stream)

            consumer = asyncio.create_task(consume())
            await steps(step)
            for task in asyncio.all_tasks() - before - {consumer}:
                task.cancel()
            (result,) = await soon(asyncio.gather(consumer, return_exceptions=True))
            while not owner.reports:
                await asyncio.sleep(0)
            if isinstance(result, list):
                assert [chunk for chunk in result if not is_beat(chunk)] == [FIRST, SECOND, THIRD]
                assert owner.reports[0].outcome == "completed"
            else:
                assert isinstance(result, asyncio.CancelledError)
                assert owner.reports[0].outcome == "cancelled"

    run(scenario())


@pytest.mark.skipif(not hasattr(asyncio.Task, "get_context"), reason="tasks tell their context since 3.12")
def test_what_a_source_sets_in_its_context_it_can_reset_where_the_client_leaves() -> None:
    async def scenario() -> None:
        variable = contextvars.ContextVar("variable", default=0)
        reset: list[bool] = []

        async def source() -> AsyncIterator[bytes]:
            token = variable.set(1)
            try:
                yield FIRST
                yield SECOND
            finally:
                variable.reset(token)
                reset.append(True)

        async with RewriteStream(source(), Rewriter([]), heartbeat=LONG) as stream:
            assert await anext(stream) == FIRST
        assert reset
        assert stream.report.error is None

    run(scenario())


@every_pump
def test_a_future_that_somebody_else_cancels_is_the_sources_matter(options: dict[str, Any]) -> None:
    async def scenario() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def source() -> AsyncIterator[bytes]:
            yield FIRST
            try:
                await future
            except asyncio.CancelledError:
                yield SECOND
            yield THIRD

        consumer = asyncio.create_task(collected(RewriteStream(source(), Rewriter([]), **options)))
        await steps(8)
        future.cancel()
        assert await soon(consumer) == [FIRST, SECOND, THIRD]

    run(scenario())


@every_pump
def test_a_source_that_awaits_what_it_must_not_gets_an_error(options: dict[str, Any]) -> None:
    class Unblocked:  # It yields a future as no awaitable may.
        def __await__(self) -> Any:
            for _ in range(50):
                yield asyncio.get_running_loop().create_future()

    async def scenario() -> None:
        for awaitable in (asyncio.current_task, Unblocked):

            async def source(awaitable: Callable[[], Any] = awaitable) -> AsyncIterator[bytes]:
                yield FIRST
                await awaitable()

            stream = RewriteStream(source(), Rewriter([]), **options | {"errors": "raise"})
            with pytest.raises(RuntimeError):
                await soon(collected(stream))

    run(scenario())


def test_heartbeats_and_a_peek_with_a_timeout_come_to_their_turn_between_bare_yields() -> None:
    async def scenario() -> None:
        has_beaten = False

        async def source() -> AsyncIterator[bytes]:
            while not has_beaten:
                await asyncio.sleep(0)
            yield FIRST

        async with RewriteStream(source(), Rewriter([]), heartbeat=0.01) as stream:
            tap = stream.tap("client")
            assert await stream.peek(timeout=0.02) is None
            received = [await soon(anext(stream))]
            has_beaten = True
            received += [chunk async for chunk in stream]
        assert is_beat(received[0])
        assert received[-1] == FIRST
        assert await tap.read() == b"".join(received)  # A beat that a tap has seen has been sent.

    run(scenario())


def test_an_inner_stream_sends_its_heartbeats_through_an_outer_one() -> None:
    async def scenario() -> None:
        async def source() -> AsyncIterator[bytes]:
            yield FIRST
            await asyncio.sleep(0.1)
            yield SECOND

        inner = RewriteStream(source(), Rewriter([]), heartbeat=0.01)
        async with RewriteStream(inner, Rewriter([]), idle_timeout=LONG) as stream:
            assert any([is_beat(chunk) async for chunk in stream])

    run(scenario())


def test_a_system_exit_goes_through_though_nobody_waits() -> None:
    async def scenario() -> None:
        async def source() -> AsyncIterator[bytes]:
            await asyncio.sleep(0.05)
            raise SystemExit(7)
            yield FIRST

        async with RewriteStream(source(), Rewriter([]), heartbeat=0.01) as stream:
            assert is_beat(await anext(aiter(stream)))
            await asyncio.sleep(LONG)  # sending

    with pytest.raises(SystemExit):
        asyncio.run(scenario())
