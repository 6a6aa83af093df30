"""A stream read in the name of a task of its own, so that who waits for it can be told something else meanwhile.

A read cannot be left and taken up again: cancelling it breaks the upstream, and what it holds (timeouts, cancel scopes)
belongs to the task that runs it. So where a keep-alive, a timeout or a drain may come between, all reading is done in
the name of one task, from the first chunk to closing:

1. Who waits for a chunk runs the read's steps (`sse_fast._rust.Stepper`), and no read is begun before it is asked for.
2. A keep-alive goes to who waits while the read goes on; the next to ask gets what the read brings.
3. Only closing, the idle timeout and the end of a drain cancel a read.

The task itself rests until the stream is closed. Then it drains the source, if it is to, and closes it.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import AsyncGeneratorType
from typing import Any

from sse_fast._rust import Stepper
from sse_fast.aio import closing
from sse_fast.aio.passage import Passage
from sse_fast.errors import IdleTimeoutError

# The loop keeps tasks only weakly.
_draining: set[asyncio.Future[None]] = set()


class Pump:
    """Reads ``source``; ``end`` closes and concludes where that has not been done. Times are in seconds."""

    def __init__(
        self,
        source: AsyncGeneratorType[bytes, None],
        passage: Passage,
        end: Callable[[], Awaitable[None]],
        *,
        heartbeat: float | None,
        idle_timeout: float | None,
        drain_timeout: float | None,
    ) -> None:
        self._source = source
        self._passage = passage
        self._end = end
        self._heartbeat = heartbeat
        self._idle_timeout = idle_timeout
        self._drain_timeout = drain_timeout
        self._reads = Stepper(source, self._release, survives=drain_timeout is not None)
        self._rest = _Rest(self._reads)
        self._task: asyncio.Task[None] | None = None
        self._began = False
        self._closed = False
        self._drains = False
        self._drained = False
        self._timer: asyncio.TimerHandle | None = None
        if idle_timeout is not None:
            passage.watch_data(lambda: self._reads.waited)

    async def outputs(self) -> AsyncGenerator[bytes, None]:
        """What ``source`` gives, and keep-alives. Raises what it raises."""
        reads = self._reads
        try:
            if self._task is None:
                self._begin()
                await asyncio.sleep(0)  # The task comes to its rest, and may be cancelled from now on.
                if not self._began:
                    raise asyncio.CancelledError  # It has been, before.
            while True:
                if self._timer is None:
                    self._set_timer(0.0)
                await reads
                output = reads.take()
                if output is None:
                    if self._rest.cancelled() and not self._closed:
                        raise asyncio.CancelledError  # The task that reads was cancelled: it is no end.
                    break
                yield output
        finally:
            await self.close()

    @property
    def reader(self) -> asyncio.Task[None] | None:
        """The task in whose name a read goes on, if one does."""
        return self._task if self._reads.is_reading else None

    def interrupt(self) -> bool:
        """Give who waits an empty output, while the read goes on; whether somebody waited."""
        return self._reads.interrupt(b"")

    async def close(self) -> None:
        """Close the source, or let a drain do it that goes on in the background."""
        if not self._closed:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            if self._reads.is_full:
                self._passage.leave(with_all=False)
            is_over = self._source.ag_frame is None
            if self._drain_timeout is not None and not is_over and not self._passage.is_done:
                self._drain(self._drain_timeout)
            elif self._task is not None and self._reads.is_reading:
                self._task.cancel()
            self._reads.end()
            self._release()
        if not self._drains:
            await closing.unhurried(self._await_the_end())

    async def _await_the_end(self) -> None:
        task = self._task
        try:
            if task is not None:
                await asyncio.wait({task})
        except asyncio.CancelledError:
            if task is not None:
                task.cancel()
            raise
        finally:
            await self._end()

    def _drain(self, timeout: float) -> None:
        self._drains = True
        self._passage.leave()
        task = self._task or self._begin()
        guard = asyncio.get_running_loop().create_task(self._guard(task, timeout))
        guard._log_destroy_pending = False  # type: ignore[attr-defined]  # as below
        for each in (task, guard):
            _draining.add(each)
            each.add_done_callback(_draining.discard)

    async def _guard(self, task: asyncio.Task[None], seconds: float) -> None:
        """End a drain that takes longer. A source may take a cancel for its own, or never close: then it is cancelled
        again. Where the loop ends it cancels each task once, and waits for it: this one sees to the other.
        """
        ending: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait({task}, timeout=seconds)
            except asyncio.CancelledError as cancel:
                ending = cancel
            else:
                if self._began:
                    task.cancel()
            self._drained, seconds = True, closing.GRACE
        if ending is not None:
            raise ending

    # The task in whose name all is read.

    def _begin(self) -> asyncio.Task[None]:
        # What a source sets in the context of who asks it resets there, too, where that can be had (Python 3.12). A
        # factory may want to run the task at once, which no context bears twice.
        loop = asyncio.get_running_loop()
        get_context = getattr(asyncio.current_task(), "get_context", None)
        context = get_context() if get_context is not None and loop.get_task_factory() is None else None
        self._reads.task = self._task = loop.create_task(self._read(), context=context)
        # Where the collector takes all at once it is no fault that the task rests yet: the generator closes the source.
        self._task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._task.add_done_callback(self._conclude)
        return self._task

    async def _read(self) -> None:
        self._began = True
        try:
            await self._rest
            if self._drains and not self._drained:
                async for _ in self._source:
                    await asyncio.sleep(0)
        finally:
            await self._source.aclose()
            if self._drains:
                await self._end()  # The source knows nothing of its end where it was never read.

    def _conclude(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # Who waited has had it, and after a drain nobody does.
        if self._drains and not self._began:  # It was cancelled before it came to closing.
            end = asyncio.ensure_future(self._end())
            _draining.add(end)
            end.add_done_callback(_draining.discard)

    def _release(self) -> None:
        """Let the task go on, where the stream is closed and no read is under way."""
        if self._closed and not self._reads.is_reading and not self._rest.done():
            self._rest.set_result(None)

    # The clock. It runs while somebody waits: a client that does not ask is no idle upstream.

    def _set_timer(self, silence: float) -> None:
        """One timer serves many chunks: it finds out what is due when it rings, and is set again."""
        waits = []
        if self._heartbeat is not None:
            waits.append(self._heartbeat - silence)
        if self._idle_timeout is not None:
            waits.append(self._idle_timeout - self._idle())
        if waits:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, min(waits)), self._ring)

    def _idle(self) -> float:
        """How long who asks has waited, in all, since the last event with data."""
        return self._reads.waited - self._passage.data_at

    def _ring(self) -> None:
        self._timer = None
        # Closing takes its time, and is neither idle nor alive.
        if not self._reads.is_awaited or self._passage.closing:
            return
        if self._idle_timeout is not None and self._idle() >= self._idle_timeout:
            self._time_out(self._idle_timeout)
        silence = self._reads.waiting
        if self._heartbeat is not None and silence >= self._heartbeat:
            beat = self._passage.beat()
            if beat and self._reads.interrupt(beat):
                self._passage.has_beaten()
                return
            silence = 0.0
        self._set_timer(silence)

    def _time_out(self, seconds: float) -> None:
        self._passage.data_at = self._reads.waited
        self._passage.failure = IdleTimeoutError(f"the upstream sent no event with data for {seconds:g} s")
        if self._task is not None:
            self._passage.cancel(self._task)


class _Rest(asyncio.Future[None]):
    """Where a task rests while others read in its name: a cancel of the task goes to the read that is under way."""

    def __init__(self, reads: Stepper) -> None:
        super().__init__()
        self._reads = reads

    def cancel(self, msg: Any = None) -> bool:
        if self._reads.cancel_read(msg):
            return True
        self._reads.end()  # The task closes the source, and nothing can be read beside that.
        return super().cancel(msg)
