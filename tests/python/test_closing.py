"""`sse_fast.aio.closing.unhurried`: the task's own step by step, with cancels held back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
from sse_fast.aio import closing
from sse_fast.aio.closing import unhurried

pytestmark = pytest.mark.anyio

NEVER = 3600.0


async def cancelled_while(
    steps: Callable[[list[str]], Coroutine[Any, Any, None]], cancels: int
) -> tuple[Any, list[str]]:
    """Close in a task, cancel it at each turn of the loop; how the task ended, and what happened."""
    seen: list[str] = []
    task = asyncio.create_task(_close(unhurried(steps(seen))))
    for _ in range(cancels):
        await asyncio.sleep(0)
        task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    return result, seen


async def _close(awaitable: unhurried) -> None:
    await awaitable


async def test_it_runs_in_the_task_itself() -> None:
    seen = []

    async def steps() -> None:
        for _ in range(3):
            seen.append(asyncio.current_task())
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)

    await unhurried(steps())
    assert seen == [asyncio.current_task()] * 3


@pytest.mark.parametrize("cancels", [1, 2, 10])
async def test_cancels_wait_until_it_is_done(cancels: int) -> None:
    async def steps(seen: list[str]) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, "done")
        seen.append(await future)

    result, seen = await cancelled_while(steps, cancels)
    assert isinstance(result, asyncio.CancelledError)
    assert seen == ["done"]


async def test_what_never_ends_is_interrupted_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "GRACE", 0.02)

    async def steps(seen: list[str]) -> None:
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError:
            seen.append("interrupted")
            raise

    result, seen = await cancelled_while(steps, 2)
    assert isinstance(result, asyncio.CancelledError)
    assert seen == ["interrupted"]


async def test_errors_come_out_and_hide_the_cancel_no_more_than_elsewhere() -> None:
    async def steps(seen: list[str]) -> None:
        await asyncio.sleep(0.001)
        raise OSError

    with pytest.raises(OSError):
        await unhurried(steps([]))
    result, _ = await cancelled_while(steps, 1)
    assert isinstance(result, OSError)


@pytest.mark.parametrize("scope", ["asyncio", "anyio"])
async def test_a_timeout_inside_still_works(scope: str) -> None:
    seen = []

    async def steps() -> None:
        with contextlib.suppress(TimeoutError):
            if scope == "asyncio":
                async with asyncio.timeout(0.001):
                    await asyncio.sleep(NEVER)
            else:
                with anyio.fail_after(0.001):
                    await anyio.sleep(NEVER)
        seen.append("timed out")

    await unhurried(steps())
    assert seen == ["timed out"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancelled_scope_around_it_waits() -> None:
    seen = []

    async def steps() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        seen.append("closed")

    with anyio.CancelScope() as scope:
        scope.cancel()
        await unhurried(steps())
        seen.append("not reached")
    assert scope.cancelled_caught
    assert seen == ["closed"]


async def test_it_is_closed_with_the_task_that_runs_it() -> None:
    seen = []

    async def steps() -> None:
        try:
            await asyncio.sleep(NEVER)
        finally:
            seen.append("closed")

    running = _close(unhurried(steps()))
    running.send(None)
    running.close()
    assert seen == ["closed"]
