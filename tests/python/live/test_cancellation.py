"""Cancelling a stream at every point where it waits, and all other ways to leave it: no sockets, one step at a time.

Whatever happens, the source is closed exactly once, the report comes exactly once, `CancelledError` goes on up with the
task's count of cancels as asyncio made it, and no task is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, ClassVar

import pytest
from sse_fast import Rewriter, SSEFastError
from sse_fast.aio import RewriteStream, StreamReport

from live.events import DONE, RULES, Stream
from live.watch import SOON, run, soon

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
def test_cancels_all_the_time(options: dict[str, Any]) -> None:
    """As an anyio cancel scope does it, which never tires."""

    async def scenario() -> None:
        for first in range(1, 12):
            watched = Watched(Source(close_steps=6), **options)
            task = asyncio.create_task(watched.consume())
            await steps(first)
            while task.cancel():
                await asyncio.sleep(0)
            await watched.is_over(expected_outcome(watched))

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
        source._chunks = _raising(first)
        watched = Watched(source, **{**options, "errors": "raise"})
        with pytest.raises(OSError, match="reset"):
            await watched.consume()
        await watched.is_over("upstream_error")
        assert watched.stream.report.error is first

    run(scenario())


def _raising(error: BaseException) -> Any:
    yield STREAM.sent[0]
    raise error


@every_mode
def test_a_source_that_cancels_itself(options: dict[str, Any]) -> None:
    """`CancelledError` goes on up, from wherever it comes."""

    async def scenario() -> None:
        source = Source()
        source._chunks = _raising(asyncio.CancelledError())
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


@every_mode_and_drain
def test_a_close_that_never_ends(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is cancelled meanwhile waits a while, and no longer."""

    class Stuck(Source):
        async def aclose(self) -> None:
            self.closings += 1
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                self.closed += 1
                raise

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
            if options == DRAIN:  # nobody waits for it; the loop ends it with its own end
                continue
            await watched.is_over(expected_outcome(watched))

    if options == DRAIN:
        asyncio.run(scenario())
    else:
        run(scenario())


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


variable: ContextVar[str] = ContextVar("variable", default="unset")


@every_mode
def test_tasks_and_contexts_stay_apart(options: dict[str, Any]) -> None:
    """A source sees one task and one context, whoever asks; who asks sees its own."""

    class Nosy(Source):
        tasks: ClassVar[set[Any]] = set()

        async def __anext__(self) -> bytes:
            self.tasks.add(asyncio.current_task())
            if options:
                assert variable.get() in ("consumer", "source")
                variable.set("source")
            return await super().__anext__()

    async def consume(watched: Watched) -> None:
        variable.set("consumer")
        async with watched.stream as stream:
            async for chunk in stream:
                watched.received.append(chunk)
                assert asyncio.current_task() is consumers[watched]
                assert variable.get() == "consumer"
                await asyncio.sleep(0)
                assert variable.get() == "consumer"

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
        watched = Watched(Source(read_steps=10**9), on_disconnect="drain", drain_timeout=0.02)
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
