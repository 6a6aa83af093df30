"""A stream read in a task of its own, so that who waits for it can be told something else meanwhile.

A read cannot be left and taken up again: cancelling it breaks the upstream, and what it holds (timeouts, cancel scopes)
belongs to the task that runs it. So where a keep-alive, a timeout or a drain may come between, one task does all the
reading, from the first chunk to closing:

1. It reads one output each time it is asked, then rests until it is asked again: no read-ahead.
2. A keep-alive goes to who asked while the read goes on; the next to ask gets what the read brings.
3. Only closing, the idle timeout and the end of a drain cancel a read.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from sse_fast.aio.baton import Baton
from sse_fast.aio.closing import unhurried
from sse_fast.aio.passage import Passage
from sse_fast.errors import IdleTimeoutError

# The loop keeps tasks only weakly.
_draining: set[asyncio.Task[None]] = set()


class Pump:
    """Reads ``source`` in a task; ``end`` closes and concludes where that task has not. Times are in seconds."""

    def __init__(
        self,
        source: AsyncGenerator[bytes, None],
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
        self._task: asyncio.Task[None] | None = None
        self._began = False
        self._ended = False
        self._closed = False
        self._drains = False
        # At most one output is between the two tasks.
        self._output: bytes | None = None
        self._asked = False
        # Where who asked waits for an output, and where the reading task rests.
        self._asker = Baton()
        self._rest = Baton()
        self._timer: asyncio.TimerHandle | None = None
        self._wait_began = self._wait_ended = self._silent_since = time.monotonic()
        # How long who asked has waited in all, since the last event with data: what counts for the idle timeout.
        self._waited = 0.0

    async def outputs(self) -> AsyncGenerator[bytes, None]:
        """What ``source`` gives, and keep-alives. Raises what it raises."""
        try:
            while True:
                if self._output is None:
                    self._ask()
                while self._output is None and not self._ended and not self._closed:
                    self._begin_to_wait()
                    await self._asker
                    self._wait_ended = time.monotonic()
                output, self._output = self._output, None
                if output is None:
                    break
                yield output
            if self._task is not None and not self._closed:
                self._task.result()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the source, or let a drain do it that goes on in the background."""
        if not self._closed:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            if self._output is not None:
                self._passage.leave(with_all=False)
            if self._drain_timeout is not None and not self._ended and not self._passage.is_done:
                self._drain(self._drain_timeout)
                self._asker.pass_on(asyncio.current_task())
            elif self._task is not None:
                self._task.cancel()
        if not self._drains:
            if self._task is not None and self._began:
                await unhurried(self._await_the_end(self._task))
            await self._end()

    async def _await_the_end(self, task: asyncio.Task[None]) -> None:
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            raise

    def _drain(self, timeout: float) -> None:
        self._drains = True
        self._passage.leave()
        self._ask()
        if self._task is not None:
            end = asyncio.get_running_loop().call_later(timeout, self._task.cancel)
            self._task.add_done_callback(lambda _: end.cancel())
            self._task.add_done_callback(_draining.discard)
            _draining.add(self._task)

    # The two tasks.

    def _ask(self) -> None:
        self._asked = True
        if self._task is None:
            self._task = asyncio.create_task(self._read())
            self._task.add_done_callback(self._tell_the_end)
        elif self._rest.is_awaited:
            self._rest.pass_on(asyncio.current_task())

    async def _read(self) -> None:
        self._began = True
        try:
            async for output in self._source:
                if self._drains:
                    await asyncio.sleep(0)
                    continue
                self._output = output
                self._asked = False
                self._asker.pass_on(self._task)
                if self._closed and not self._drains:  # The source answered the cancel with a chunk.
                    break
                if not self._asked:
                    await self._rest
        finally:
            await self._source.aclose()

    def _tell_the_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # Who asks gets it; after a drain nobody does.
        self._ended = True
        self._asker.pass_on(None)

    # The clock. It runs while somebody waits: a client that does not ask is no idle upstream.

    def _begin_to_wait(self) -> None:
        self._silent_since = time.monotonic()
        if self._idle_timeout is not None:
            self._waited = self._idle(self._wait_ended)
            self._wait_began = self._silent_since
        if self._timer is None:
            self._set_timer()

    def _idle(self, now: float) -> float:
        """How long who asks has waited, up to now, since the last event with data."""
        data_at = self._passage.data_at
        return max(0.0, now - data_at) if data_at >= self._wait_began else self._waited + now - self._wait_began

    def _set_timer(self) -> None:
        """One timer serves many chunks: it finds out what is due when it rings, and is set again."""
        now, waits = time.monotonic(), []
        if self._heartbeat is not None:
            waits.append(self._silent_since + self._heartbeat - now)
        if self._idle_timeout is not None:
            waits.append(self._idle_timeout - self._idle(now))
        if waits:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, min(waits)), self._ring)

    def _ring(self) -> None:
        self._timer = None
        # Closing takes its time, and is neither idle nor alive.
        if not self._asker.is_awaited or self._passage.closing:
            return
        now = time.monotonic()
        if self._idle_timeout is not None and self._idle(now) >= self._idle_timeout:
            self._time_out(self._idle_timeout)
            self._wait_began, self._waited = now, 0.0
        if self._heartbeat is not None and now - self._silent_since >= self._heartbeat:
            self._silent_since = now
            if beat := self._passage.beat():
                self._output = beat
                self._asker.pass_on(None)
                return
        self._set_timer()

    def _time_out(self, seconds: float) -> None:
        self._passage.timeout = IdleTimeoutError(f"the upstream sent no event with data for {seconds:g} s")
        if self._task is not None:
            self._passage.cancel(self._task)
