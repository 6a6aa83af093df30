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

from sse_fast.aio.passage import Passage
from sse_fast.errors import IdleTimeoutError

# The loop keeps tasks only weakly.
_drains: set[asyncio.Task[None]] = set()


class Pump:
    """Reads ``outputs`` in a task; ``end`` closes the source and concludes where that task has not."""

    def __init__(
        self,
        outputs: AsyncGenerator[bytes, None],
        passage: Passage,
        end: Callable[[], Awaitable[None]],
        *,
        heartbeat: float | None,
        idle_timeout: float | None,
        drain_timeout: float | None,
    ) -> None:
        self._outputs = outputs
        self._passage = passage
        self._end = end
        self._heartbeat = heartbeat
        self._idle_timeout = idle_timeout
        self._drain_timeout = drain_timeout
        self._task: asyncio.Task[None] | None = None
        self._began = False
        self._closed = False
        self._output: bytes | None = None
        # Who asked and waits (True: a keep-alive is due), and where the task rests: at most one of them is pending.
        self._asker: asyncio.Future[bool] | None = None
        self._rest: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._given_at = self._idle_since = time.monotonic()

    async def next(self) -> bytes | None:
        """The next output or keep-alive; None at the end. Raises what the stream raises."""
        now = time.monotonic()
        # While nobody asked, the upstream was not idle.
        self._idle_since = max(self._idle_since, self._passage.data_at or 0) + now - self._given_at
        self._given_at = now
        task = self._wake()
        while self._output is None and not task.done():
            if await self._beat_is_due() and (beat := self._passage.beat()):
                return beat
        output, self._output = self._output, None
        return task.result() if output is None else output

    async def close(self) -> None:
        """Close the source, or let a drain do it that goes on in the background."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        ended = self._task is not None and self._task.done()
        if self._drain_timeout is not None and not ended and not self._passage.is_terminal:
            self._drain(self._drain_timeout)
            return
        if self._task is not None:
            self._task.cancel()
            if self._began:
                await asyncio.wait({self._task})
        await self._end()

    def _drain(self, timeout: float) -> None:
        self._passage.leave()
        task = self._wake()
        end = asyncio.get_running_loop().call_later(timeout, task.cancel)
        task.add_done_callback(lambda _: end.cancel())
        task.add_done_callback(_drains.discard)
        _drains.add(task)

    def _wake(self) -> asyncio.Task[None]:
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._tell)
        elif self._rest is not None and not self._rest.done():
            self._rest.set_result(None)
        return self._task

    async def _run(self) -> None:
        self._began = True
        try:
            async for output in self._outputs:
                if not self._passage.left:
                    self._output = output
                    self._tell()
                    self._rest = asyncio.get_running_loop().create_future()
                    await self._rest
        finally:
            await self._outputs.aclose()

    def _tell(self, ended: asyncio.Task[None] | None = None) -> None:
        """Wake who asked: there is an output, or the end."""
        if ended is not None and not ended.cancelled():
            ended.exception()  # Who asks next gets it; nobody may, after a drain.
        if self._asker is not None and not self._asker.done():
            self._asker.set_result(False)

    async def _beat_is_due(self) -> bool:
        """Wait for an output or the end, or until a keep-alive is due."""
        self._asker = asyncio.get_running_loop().create_future()
        if self._timer is None:
            self._look_at_the_clock()
        try:
            return await self._asker
        finally:
            self._given_at = time.monotonic()
            self._asker = None

    def _look_at_the_clock(self) -> None:
        """Do what is due and come again when the next thing is; one timer serves many chunks."""
        self._timer = None
        if self._asker is None or self._asker.done():
            return
        now, waits = time.monotonic(), []
        if self._heartbeat is not None:
            wait = self._given_at + self._heartbeat - now
            if wait <= 0:
                self._asker.set_result(True)
                return
            waits.append(wait)
        if self._idle_timeout is not None:
            wait = max(self._idle_since, self._passage.data_at or 0) + self._idle_timeout - now
            if wait <= 0:
                self._time_out(self._idle_timeout)
                self._idle_since = now
                wait = self._idle_timeout
            waits.append(wait)
        if waits:
            self._timer = asyncio.get_running_loop().call_later(min(waits), self._look_at_the_clock)

    def _time_out(self, seconds: float) -> None:
        self._passage.timeout = IdleTimeoutError(f"the upstream sent no event with data for {seconds:g} s")
        if self._task is not None:
            self._task.cancel()
