"""All other ways to leave a stream, and sources that close slowly, with means of their own, or never."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from live.watch import SOON, run, soon
from live.watched import (
    DRAIN,
    LONG,
    Response,
    Source,
    Watched,
    current_cancelling,
    every_mode,
    every_mode_and_drain,
    every_source,
    expected_outcome,
    raising,
    steps,
)


@every_source
@every_mode
def test_left_without_a_cancel(options: dict[str, Any], source_type: Callable[..., Any]) -> None:
    async def scenario() -> None:
        watched = Watched(source_type(), **options)
        async with watched.stream as stream:  # broken out of
            async for chunk in stream:
                watched.received.append(chunk)
                break
        assert watched.source.closed == 1
        await watched.is_over("cancelled")

        watched = Watched(source_type(), **options)
        with pytest.raises(LookupError):  # an error of the client's side
            await _failing(watched)
        assert watched.source.closed == 1
        await watched.is_over("cancelled")

        watched = Watched(source_type(), **options)
        async with watched.stream:  # never started
            pass
        assert watched.source.closed == 1
        await watched.is_over("cancelled")

        watched = Watched(source_type(), **options)
        await anext(watched.stream)
        for _ in range(3):  # closed more than once
            await watched.stream.aclose()
            assert watched.source.closed == 1
        with pytest.raises(StopAsyncIteration):
            await anext(watched.stream)
        await watched.is_over("cancelled")

        watched = Watched(source_type(), **options)
        for _ in range(2):  # read to the end, then closed
            await watched.consume()
            assert watched.source.closed == 1
        await watched.is_over("completed")

    run(scenario())


async def _failing(watched: Watched) -> None:
    async with watched.stream as stream:
        async for _ in stream:
            raise LookupError


@every_mode
def test_closed_twice_at_once(options: dict[str, Any]) -> None:
    async def scenario() -> None:
        watched = Watched(Source(close_steps=6), **options)
        await anext(watched.stream)
        await asyncio.gather(*(watched.stream.aclose() for _ in range(3)), return_exceptions=True)
        await watched.is_over("cancelled")

    run(scenario())


@every_mode
def test_closed_by_another_task_while_one_reads(options: dict[str, Any]) -> None:
    async def scenario() -> None:
        watched = Watched(Source(read_steps=10**9), **options)
        reading = asyncio.create_task(watched.consume())
        await steps(5)
        await soon(watched.stream.aclose())
        assert watched.source.closed == 1
        await soon(asyncio.wait({reading}))
        await watched.is_over("cancelled")

    run(scenario())


@every_mode_and_drain
def test_closed_by_others_at_every_step(options: dict[str, Any]) -> None:
    """Also by one who comes when the first has just done it, and the reader has yet to hear of it."""

    async def scenario() -> None:
        for first, second in itertools.product(range(1, 12), range(6)):
            watched = Watched(Response(), **options)
            reader = asyncio.create_task(watched.consume())
            await steps(first)
            closers = [asyncio.create_task(watched.stream.aclose())]
            await steps(second)
            closers.append(asyncio.create_task(watched.stream.aclose()))
            await soon(asyncio.gather(reader, *closers))
            await soon(watched.ended.wait())
            assert (watched.source.closings, watched.source.closed) == (1, 1)

    run(scenario())


@every_source
@every_mode
def test_dropped_without_a_close(options: dict[str, Any], source_type: Callable[..., Any]) -> None:
    """The collector closes what has begun, in its own time; nothing is reported as lost."""

    async def scenario() -> None:
        for begins, in_a_cycle in itertools.product((False, True), repeat=2):
            watched = Watched(source_type(), **options)
            if begins:
                watched.received.append(await anext(watched.stream))
            if in_a_cycle:
                watched.stream.me = watched.stream  # type: ignore[attr-defined]
            del watched.stream
            gc.collect()
            if begins:
                await soon(watched.ended.wait())
                assert [report.outcome for report in watched.reports] == ["cancelled"]
                assert (watched.source.closings, watched.source.closed) == (1, 1)
            else:
                await steps(10)
                assert watched.source.closings <= 1
                assert len(watched.reports) <= 1

    run(scenario())


@every_mode
def test_a_close_that_raises_hides_nothing(options: dict[str, Any]) -> None:
    async def scenario() -> None:
        broken = OSError("the socket was gone")
        watched = Watched(Source(close_error=broken), **options)
        async with watched.stream as stream:
            async for chunk in stream:
                watched.received.append(chunk)
                break
        await watched.is_over("cancelled")
        assert watched.stream.report.error is broken

        watched = Watched(Source(close_error=broken), **options)
        task = asyncio.create_task(watched.consume())
        await steps(6)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await watched.is_over("cancelled")

        watched = Watched(Source(close_error=broken), **options)
        await watched.consume()
        await watched.is_over("completed")

        first = OSError("reset")
        source = Source(close_error=broken)
        source._chunks = raising(first)
        watched = Watched(source, **{**options, "errors": "raise"})
        with pytest.raises(OSError, match="reset"):
            await watched.consume()
        await watched.is_over("upstream_error")
        assert watched.stream.report.error is first

    run(scenario())


class Stuck(Source):
    async def aclose(self) -> None:
        self.closings += 1
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            self.closed += 1
            raise


@every_mode_and_drain
def test_a_close_that_never_ends(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is cancelled meanwhile waits a while, and no longer."""

    monkeypatch.setattr("sse_fast.aio.closing.GRACE", 0.01)

    async def scenario() -> None:
        for step in range(1, 14):
            watched = Watched(Stuck(), **{**options, "drain_timeout": 0.01})
            task = asyncio.create_task(watched.consume())
            await steps(step)
            task.cancel()
            await steps(3)
            task.cancel()
            (result,) = await soon(asyncio.gather(task, return_exceptions=True))
            assert isinstance(result, asyncio.CancelledError)
            await watched.is_over(expected_outcome(watched))

    run(scenario())


class StuckInside(Source):
    """It hangs where it is read, once it is told to end."""

    async def __anext__(self) -> bytes:
        try:
            return await super().__anext__()
        except asyncio.CancelledError:
            self._chunks = iter(())
            await asyncio.sleep(LONG)
            raise


class StuckAfterAnError(Stuck):
    async def __anext__(self) -> bytes:
        try:
            return await super().__anext__()
        except asyncio.CancelledError:
            raise ConnectionError from None


@pytest.mark.parametrize("drain_timeout", [0.01, LONG], ids=["in time", "at the end of the loop"])
@pytest.mark.parametrize("source", [Stuck, StuckInside, StuckAfterAnError])
def test_a_drain_ends_though_its_source_hangs(
    source: type[Source], drain_timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop cancels what is left once, and waits for it."""
    monkeypatch.setattr("sse_fast.aio.closing.GRACE", 0.01)

    async def scenario(step: int) -> Watched:
        watched = Watched(source(), **{**DRAIN, "drain_timeout": drain_timeout})
        task = asyncio.create_task(watched.consume())
        await steps(step)
        task.cancel()
        await asyncio.wait({task})
        await steps(step % 4)
        if drain_timeout != LONG:
            await soon(watched.ended.wait())
        return watched

    for step in range(1, 14):
        watched = asyncio.run(scenario(step))
        assert (watched.source.closings, len(watched.reports)) == (1, 1)


async def limited_by_asyncio(work: Coroutine[Any, Any, None], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await work


async def limited_by_wait_for(work: Coroutine[Any, Any, None], seconds: float) -> None:
    await asyncio.wait_for(work, seconds)


async def limited_by_anyio(work: Coroutine[Any, Any, None], seconds: float) -> None:
    anyio = pytest.importorskip("anyio")
    with anyio.fail_after(seconds):
        await work


async def in_a_group(work: Coroutine[Any, Any, None], seconds: float) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(work)
        await steps(2)


async def in_a_shield_of_anyio(work: Coroutine[Any, Any, None], seconds: float) -> None:
    anyio = pytest.importorskip("anyio")
    with anyio.CancelScope(shield=True):
        await work


async def in_a_thread(work: Coroutine[Any, Any, None], seconds: float) -> None:
    await work
    await asyncio.to_thread(bool)


LIMITS = [limited_by_asyncio, limited_by_wait_for, limited_by_anyio]
MEANS = [*LIMITS, in_a_group, in_a_shield_of_anyio, in_a_thread]


class Careful(Source):
    """Closes with `means`: in a few steps, or, with a limit in seconds, never."""

    def __init__(self, means: Callable[..., Any], limit: float | None = None) -> None:
        super().__init__()
        self._means = means
        self._limit = limit

    async def aclose(self) -> None:
        self.closings += 1
        try:
            if self._limit is None:
                await self._means(steps(6), SOON)
            else:
                await self._means(asyncio.sleep(LONG), self._limit)
        finally:
            self.closed += 1


async def leave_while_it_closes(new_source: Callable[[], Source], options: dict[str, Any]) -> None:
    for first, second in itertools.product((1, 4, 7), (None, 0, 1, 4)):
        watched = Watched(new_source(), **options)
        task = asyncio.create_task(watched.consume())
        await steps(first)
        task.cancel()
        if second is not None:
            await steps(second)
            task.cancel()
        (result,) = await soon(asyncio.gather(task, return_exceptions=True))
        assert isinstance(result, asyncio.CancelledError)
        await watched.is_over(expected_outcome(watched))


@every_mode
@pytest.mark.parametrize("means", MEANS, ids=lambda means: means.__name__)
def test_a_close_with_means_of_its_own(options: dict[str, Any], means: Callable[..., Any]) -> None:
    async def scenario() -> None:
        await leave_while_it_closes(lambda: Careful(means), options)
        watched = Watched(Careful(means), **options)
        async with watched.stream as stream:
            await anext(stream)
        assert current_cancelling() == 0
        await watched.is_over("cancelled")
        assert watched.reports[0].error is None

    run(scenario())


@every_mode
@pytest.mark.parametrize("means", LIMITS, ids=lambda means: means.__name__)
def test_a_close_that_gives_up(
    options: dict[str, Any], means: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_fast.aio.closing.GRACE", 0.01)

    async def scenario() -> None:
        await leave_while_it_closes(lambda: Careful(means, 0.01), options)
        watched = Watched(Careful(means, 0.01), **options)
        async with watched.stream as stream:
            await anext(stream)
        assert current_cancelling() == 0
        await watched.is_over("cancelled")
        # asyncio.timeout of Python 3.11.2 is mute in a task that was cancelled before, as a pump's is.
        assert watched.reports[0].error is None or isinstance(watched.reports[0].error, TimeoutError)

    run(scenario())
