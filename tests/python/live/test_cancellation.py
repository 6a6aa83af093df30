"""Cancelling a stream at every point where it waits: no sockets, one step at a time.

Whatever happens, the source is closed exactly once, the report comes exactly once, `CancelledError` goes on up with the
task's count of cancels as asyncio made it, and no task is left.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from sse_fast import SSEFastError

from live.watch import run, soon
from live.watched import (
    DRAIN,
    LONG,
    STREAM,
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
def test_a_cancel_at_every_step(options: dict[str, Any], source_type: Callable[..., Any]) -> None:
    async def scenario() -> None:
        for step in itertools.count():
            watched = Watched(source_type(), **options)
            task = asyncio.create_task(watched.consume())
            await steps(step)
            task.cancel()
            (result,) = await soon(asyncio.gather(task, return_exceptions=True))
            if step and result is None:  # it had ended before: as many steps as there are
                await watched.is_over("completed")
                assert step > 10
                return
            assert isinstance(result, asyncio.CancelledError)
            assert task.cancelled()
            if step == 0:  # the task never ran
                await watched.stream.aclose()
            else:
                assert watched.cancelling == 1
                # Closed before the call returned.
                assert watched.source.closed == 1
                assert len(watched.reports) == 1
            await watched.is_over(expected_outcome(watched))

    run(scenario())


@every_source
@every_mode
def test_more_cancels_while_it_closes(options: dict[str, Any], source_type: Callable[..., Any]) -> None:
    async def scenario() -> None:
        for first, second, third in itertools.product(range(1, 12), range(0, 9), [None, 0, 1, 2]):
            watched = Watched(source_type(close_steps=6), **options)
            task = asyncio.create_task(watched.consume())
            await steps(first)
            cancels = int(task.cancel())
            for pause in (second, third):
                if pause is not None:
                    await steps(pause)
                    cancels += task.cancel()
            (result,) = await soon(asyncio.gather(task, return_exceptions=True))
            assert isinstance(result, asyncio.CancelledError)
            assert watched.cancelling is None or 1 <= watched.cancelling <= cancels
            await watched.is_over(expected_outcome(watched))

    run(scenario())


@every_mode
def test_cancels_all_the_time(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As an anyio cancel scope does it, which never tires."""
    monkeypatch.setattr("sse_fast.aio.closing.GRACE", 60)

    async def scenario() -> None:
        for first in range(1, 12):
            watched = Watched(Source(close_steps=6), **options)
            task = asyncio.create_task(watched.consume())
            await steps(first)
            while task.cancel():
                await asyncio.sleep(0)
            await watched.is_over(expected_outcome(watched))

    run(scenario())


@every_source
@every_mode_and_drain
def test_all_tasks_cancelled_at_once(options: dict[str, Any], source_type: Callable[..., Any]) -> None:
    """As `asyncio.run` does at its end, in any order; a second Ctrl-C does it again."""

    async def scenario() -> None:
        # Nobody waits for a drain: what cancels its closing for good is its end.
        numbers = (1, 2) if options == DRAIN else (1, 2, 3)
        for step, times, backwards in itertools.product(range(1, 14), numbers, (False, True)):
            before = asyncio.all_tasks()
            watched = Watched(source_type(), **options)
            task = asyncio.create_task(watched.consume())
            await steps(step)
            for _ in range(times):
                tasks = asyncio.all_tasks() - before
                for each in sorted(tasks, key=lambda each: (each is task) is backwards):
                    each.cancel()
                await asyncio.sleep(0)
            await soon(asyncio.wait(tasks | {task}))
            await soon(watched.ended.wait())
            assert len(watched.reports) == 1
            assert watched.source.closings == 1

    run(scenario())


@every_mode
def test_asyncio_timeout_around_it(options: dict[str, Any]) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        for step in range(1, 14):
            watched = Watched(Source(), **options)

            async def consume(watched: Watched = watched, step: int = step) -> None:
                async def limited() -> None:
                    async with asyncio.timeout(None) as limit:
                        waiting = asyncio.ensure_future(steps(step))
                        waiting.add_done_callback(lambda _: limit.reschedule(loop.time()))
                        await watched.consume()
                        await asyncio.sleep(LONG)

                with pytest.raises(TimeoutError):
                    await limited()
                assert current_cancelling() == 0
                await asyncio.sleep(0)  # nothing is pending

            await soon(consume())
            await watched.is_over(expected_outcome(watched))

    run(scenario())


@every_mode
def test_task_group_around_it(options: dict[str, Any]) -> None:
    async def scenario() -> None:
        for step in range(1, 14):
            watched = Watched(Source(), **options)

            async def fail(step: int = step) -> None:
                await steps(step)
                raise LookupError("a sibling failed")

            async def both(watched: Watched = watched, fail: Callable[[], Any] = fail) -> None:
                async with asyncio.TaskGroup() as group:
                    group.create_task(watched.consume())
                    group.create_task(fail())

            with pytest.raises(ExceptionGroup) as raised:
                await soon(both())
            assert [type(error) for error in raised.value.exceptions] == [LookupError]
            await watched.is_over(expected_outcome(watched))

    run(scenario())


@every_mode
def test_anyio_scopes_around_it(options: dict[str, Any]) -> None:
    anyio = pytest.importorskip("anyio")

    async def scenario() -> None:
        for step in range(1, 14):
            watched = Watched(Source(), **options)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:

                    async def leave(step: int = step, scope: Any = scope) -> None:
                        await steps(step)
                        scope.cancel()

                    group.start_soon(leave)
                    await watched.consume()
                    await anyio.sleep(LONG)
            assert scope.cancelled_caught
            await watched.is_over(expected_outcome(watched))
        watched = Watched(Source(read_steps=10**9), **options)
        with pytest.raises(TimeoutError), anyio.fail_after(0.02):
            await watched.consume()
        await watched.is_over("cancelled")
        await anyio.sleep(0)

    run(scenario())


@every_mode
def test_a_source_that_cancels_itself(options: dict[str, Any]) -> None:
    """`CancelledError` goes on up, from wherever it comes."""

    async def scenario() -> None:
        source = Source()
        source._chunks = raising(asyncio.CancelledError())
        watched = Watched(source, **options)
        with pytest.raises(asyncio.CancelledError):
            await soon(watched.consume())
        assert watched.cancelling == 0
        await watched.is_over("cancelled")
        await asyncio.sleep(0)

    run(scenario())


@every_mode_and_drain
@pytest.mark.parametrize("then", ["goes on", "ends", "hangs"])
def test_a_source_that_swallows_a_cancel(options: dict[str, Any], then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sins against asyncio; the stream may then go on, but never hang or lose the close."""

    class Deaf(Source):
        deaf = True

        async def __anext__(self) -> bytes:
            try:
                return await super().__anext__()
            except asyncio.CancelledError:
                if not self.deaf:
                    raise
                self.deaf = False
            if then == "ends":
                raise StopAsyncIteration
            if then == "hangs":
                await asyncio.sleep(LONG)
            return await super().__anext__()

    monkeypatch.setattr("sse_fast.aio.closing.GRACE", 0.01)

    async def scenario() -> None:
        for step in range(1, 14):
            watched = Watched(Deaf(), **options)
            task = asyncio.create_task(watched.consume())
            await steps(step)
            task.cancel()
            await steps(20)
            task.cancel()
            await soon(asyncio.wait({task}))
            await soon(watched.ended.wait())
            assert (watched.source.closings, watched.source.closed) == (1, 1)
            assert len(watched.reports) == 1

    run(scenario())


def test_idle_timeout_against_a_cancel_at_the_same_time() -> None:
    """Whichever comes first, a cancel from outside is never taken for the timeout."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        for early in range(-4, 5):
            watched = Watched(Source(read_steps=10**9), idle_timeout=0.01)
            task = asyncio.create_task(watched.consume())
            loop.call_later(0.01 + early / 10_000, task.cancel)
            (result,) = await soon(asyncio.gather(task, return_exceptions=True))
            if isinstance(result, asyncio.CancelledError):
                assert task.cancelled()
                assert watched.cancelling == 1
            else:
                assert isinstance(result, SSEFastError)
            await soon(watched.ended.wait())
            assert watched.source.closed == 1
            assert watched.reports[0].outcome in ("cancelled", "idle_timeout")

    run(scenario())


@every_source
def test_drain_reads_on_after_a_cancel_at_every_step(source_type: Callable[..., Any]) -> None:
    async def scenario() -> None:
        for step in itertools.count(1):
            watched = Watched(source_type(), **DRAIN)
            tap = watched.stream.tap()
            task = asyncio.create_task(watched.consume())
            await steps(step)
            task.cancel()
            (result,) = await soon(asyncio.gather(task, return_exceptions=True))
            await soon(watched.ended.wait())
            report = watched.reports[0]
            assert report.captured["usage"] is not None
            assert await soon(tap.read()) == STREAM.input
            if result is None:
                await watched.is_over("completed")
                assert step > 10
                return
            assert isinstance(result, asyncio.CancelledError)
            assert report.outcome in ("cancelled", "completed")
            await watched.is_over(str(report.outcome))

    run(scenario())


def test_drain_cancelled_again_while_it_drains_and_at_its_end() -> None:
    async def scenario() -> None:
        for first, second in itertools.product(range(1, 10), range(6)):
            watched = Watched(Source(close_steps=4), on_disconnect="drain", drain_timeout=LONG)
            task = asyncio.create_task(watched.consume())
            await steps(first)
            task.cancel()
            await steps(second)
            task.cancel()
            await soon(asyncio.wait({task}))
            await soon(watched.ended.wait())
            assert watched.source.closed == 1
            assert watched.reports[0].captured["usage"] is not None

    run(scenario())


def test_drain_stops_at_its_timeout() -> None:
    async def scenario() -> None:
        watched = Watched(Source(read_steps=10**9), on_disconnect="drain", drain_timeout=0.5)
        task = asyncio.create_task(watched.consume())
        await steps(4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert watched.source.closings == 0
        await watched.is_over("cancelled")

    run(scenario())


@every_mode_and_drain
def test_peek_cancelled_at_every_step(options: dict[str, Any]) -> None:
    async def scenario() -> None:
        for step in range(1, 8):
            watched = Watched(Source(), **options)

            async def peek(watched: Watched = watched) -> None:
                async with watched.stream as stream:
                    assert await stream.peek()
                    await asyncio.sleep(LONG)

            task = asyncio.create_task(peek())
            await steps(step)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await soon(task)
            await soon(watched.ended.wait())
            assert (watched.source.closings, watched.source.closed) == (1, 1)
            assert len(watched.reports) == 1

    run(scenario())
