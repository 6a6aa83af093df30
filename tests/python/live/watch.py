"""Runs a scenario in a loop of its own and asserts that nothing is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sse_fast

try:
    from blockbuster import blockbuster_ctx
except ImportError:
    blockbuster_ctx = None

T = TypeVar("T")
DESCRIPTORS = Path("/proc/self/fd")
TRIALS = int(os.environ.get("SSE_FAST_LIVE_TRIALS", "1000"))
"""Random trials in all, over the servers."""
SOON = 20.0
"""Seconds within which something must happen; generous, for machines that do other things meanwhile."""
PACES = (1, 4, 12)
"""How much slower a test goes, try after try, where a stall of the machine may outlast its timeouts; one must do."""


def run(
    scenario: Coroutine[Any, Any, T],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    *,
    seconds: float = 60,
) -> T:
    """The scenario's result, once all of it is over: its tasks, its sockets, its exceptions."""
    with blocking_forbidden(), asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_watched(scenario, seconds))


def blocking_forbidden() -> contextlib.AbstractContextManager[Any]:
    """Where `sse_fast` stands on the stack of a running loop, a blocking call raises."""
    if blockbuster_ctx is None:
        return contextlib.nullcontext()
    return blockbuster_ctx(scanned_modules=sse_fast)


async def _watched(scenario: Coroutine[Any, Any, T], seconds: float) -> T:
    lost: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: lost.append(context))
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    async with asyncio.timeout(seconds):
        result = await scenario
    try:
        async with asyncio.timeout(SOON):
            while asyncio.all_tasks() != tasks or open_sockets() - sockets:
                await asyncio.sleep(0.005)
    except TimeoutError:
        assert asyncio.all_tasks() == tasks
        assert open_sockets() <= sockets
    gc.collect()  # a task's exception that nobody asked for is told when the task goes
    await asyncio.sleep(0)
    assert lost == []
    return result


def open_sockets() -> set[str]:
    if not DESCRIPTORS.is_dir():
        return set()
    found = set()
    for descriptor in os.listdir(DESCRIPTORS):
        with contextlib.suppress(OSError):
            found.add(os.readlink(DESCRIPTORS / descriptor))
    return {target for target in found if target.startswith("socket:")}


def allow_descriptors(number: int) -> None:
    """Raise the soft limit of open files as far as needed; skip where the hard limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        pytest.skip(f"needs {number} open files, the limit is {hard}")
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


async def soon(awaitable: Any, seconds: float = SOON) -> Any:
    """The result, within a generous bound."""
    async with asyncio.timeout(seconds):
        return await awaitable


async def named(name: object, awaitable: Any) -> Any:
    """The result; where it raises, it says which of many it was."""
    try:
        return await awaitable
    except BaseException as error:
        error.add_note(str(name))
        raise
