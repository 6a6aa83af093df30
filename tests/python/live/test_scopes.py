"""Tasks, contexts and scopes: a source has its own, whoever asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar, copy_context
from typing import Any, ClassVar

import pytest
from sse_fast import Rewriter
from sse_fast.aio import RewriteStream

from live.events import RULES
from live.watch import run, soon
from live.watched import LONG, Source, Stacked, Watched, current_cancelling, every_mode, steps


@every_mode
def test_timeouts_inside_the_source(options: dict[str, Any]) -> None:
    """Libraries on anyio (httpx) time each read so; the error is the upstream's, no cancel of ours."""
    anyio = pytest.importorskip("anyio")

    class Slow(Source):
        def __init__(self, limit: Callable[[float], Any]) -> None:
            super().__init__()
            self._limit = limit

        async def __anext__(self) -> bytes:
            with anyio.fail_after(LONG):
                if chunk := next(self._chunks, None):
                    await asyncio.sleep(0)
                    if len(watched.received) < 2:
                        return chunk
            await self._limit(0.001)
            raise AssertionError("the limit has passed")

    async def by_anyio(seconds: float) -> None:
        with anyio.fail_after(seconds):
            await anyio.sleep(LONG)

    async def by_asyncio(seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await asyncio.sleep(LONG)

    async def scenario() -> None:
        nonlocal watched
        for limit in (by_anyio, by_asyncio):
            watched = Watched(Slow(limit), **options)
            if options.get("errors") == "event":
                await soon(watched.consume())
                assert watched.received[-1].startswith(b"event: error\n")
                watched.received.pop()
            else:
                with pytest.raises(TimeoutError):
                    await soon(watched.consume())
            assert current_cancelling() == 0
            assert isinstance(watched.stream.report.error, TimeoutError)
            await watched.is_over("upstream_error")

    watched: Watched = None  # type: ignore[assignment]
    run(scenario())


@every_mode
@pytest.mark.parametrize("hold", ["asyncio timeout", "asyncio group", "anyio scope", "anyio group"])
def test_a_source_that_holds_a_scope_over_its_yields(options: dict[str, Any], hold: str) -> None:
    """Read by one task from its first chunk to its close, where scopes and groups belong to a task."""
    anyio = pytest.importorskip("anyio")
    holds: dict[str, Callable[[], Any]] = {
        "asyncio timeout": lambda: asyncio.timeout(LONG),
        "asyncio group": asyncio.TaskGroup,
        "anyio scope": lambda: _entered(anyio.fail_after(LONG)),
        "anyio group": anyio.create_task_group,
    }

    async def chunks(source: Source) -> AsyncIterator[bytes]:
        try:
            async with holds[hold]():
                async for chunk in source:
                    yield chunk
        finally:
            await asyncio.shield(asyncio.ensure_future(source.aclose()))

    async def scenario() -> None:
        for step in range(1, 14):
            watched = Watched(source := Source())
            watched.stream = RewriteStream(chunks(source), Rewriter(RULES), on_end=watched._on_end, **options)
            task = asyncio.create_task(watched.consume())
            await steps(step)
            task.cancel()
            (result,) = await soon(asyncio.gather(task, return_exceptions=True))
            assert isinstance(result, asyncio.CancelledError)
            await soon(watched.ended.wait())
            assert watched.reports[0].error is None
        # Left at rest, after a chunk.
        watched = Watched(source := Source())
        watched.stream = RewriteStream(chunks(source), Rewriter(RULES), on_end=watched._on_end, **options)
        async with watched.stream as stream:
            async for _ in stream:
                break
        await soon(watched.ended.wait())
        assert watched.reports[0].error is None
        assert source.closed == 1

    run(scenario())


class _entered:
    """A synchronous context manager as an asynchronous one."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    async def __aenter__(self) -> Any:
        return self._manager.__enter__()

    async def __aexit__(self, *error: Any) -> Any:
        return self._manager.__exit__(*error)


variable: ContextVar[str] = ContextVar("variable", default="unset")


@every_mode
def test_tasks_stay_apart(options: dict[str, Any]) -> None:
    """A source sees one task, whoever asks; who asks sees its own. What a source sets in a context it can reset."""

    class Nosy(Source):
        tasks: ClassVar[set[Any]] = set()

        async def __anext__(self) -> bytes:
            self.tasks.add(asyncio.current_task())
            assert variable.get() == "consumer"
            token = variable.set("source")
            try:
                return await super().__anext__()
            finally:
                variable.reset(token)

    async def consume(watched: Watched) -> None:
        variable.set("consumer")
        async with watched.stream as stream:
            async for chunk in stream:
                watched.received.append(chunk)
                assert asyncio.current_task() is consumers[watched]
                # At a keep-alive the read goes on, and so does what it has set.
                assert variable.get() == "consumer" or chunk.startswith(b":")
                await asyncio.sleep(0)
                assert variable.get() == "consumer" or chunk.startswith(b":")

    consumers: dict[Watched, asyncio.Task[None]] = {}

    async def scenario() -> None:
        for read_steps in (0, 1, 2):
            Nosy.tasks.clear()
            for number in range(3):
                watched = Watched(Nosy(read_steps=read_steps), **options)
                consumers[watched] = asyncio.create_task(consume(watched), name=f"consumer {number}")
            for watched, task in consumers.items():
                await soon(task)
                await watched.is_over("completed")
            assert len(Nosy.tasks) == 3
            consumers.clear()
            assert variable.get() == "unset"

    run(scenario())


@every_mode
def test_tasks_that_share_a_context(options: dict[str, Any]) -> None:
    """As some test runners and portals make them; a context can be entered only once at a time."""

    async def scenario() -> None:
        for read_steps in (0, 1, 2):
            shared = copy_context()
            loop = asyncio.get_running_loop()
            all_watched = [Watched(Stacked(read_steps=read_steps), **options) for _ in range(5)]
            tasks = [loop.create_task(watched.consume(), context=shared) for watched in all_watched]
            for task, watched in zip(tasks, all_watched, strict=True):
                await soon(task)
                await watched.is_over("completed")

    run(scenario())


@every_mode
def test_an_iterator_that_another_task_made(options: dict[str, Any]) -> None:
    """Who calls `aiter` need not be who reads: a close from a third side ends the reading, and that alone."""

    async def scenario() -> None:
        watched = Watched(Source(read_steps=10**9), **options)
        iterator = aiter(watched.stream)  # by this task

        async def read() -> None:
            with contextlib.suppress(StopAsyncIteration, asyncio.CancelledError):
                while True:
                    watched.received.append(await anext(iterator))

        reading = asyncio.create_task(read())
        await steps(4)
        closing = asyncio.create_task(watched.stream.aclose())
        await soon(asyncio.wait({closing, reading}))
        assert current_cancelling() == 0
        await closing
        await watched.is_over("cancelled")

    run(scenario())
