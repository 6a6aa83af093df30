"""A stream that is pulled through a rewriter, one chunk for each that is asked for."""

import asyncio
import gc
import inspect
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Self

from sse_fast._rust import Event, Parser
from sse_fast.aio.passage import Feedable, Passage
from sse_fast.aio.pump import Pump
from sse_fast.aio.report import Dialect, StreamReport
from sse_fast.aio.source import Source
from sse_fast.aio.tap import Tap

# What `RewriteStream.peek` may hold while it looks for an event with data.
PEEK_LIMIT = 1 << 20


class RewriteStream:
    """Rewrites what an upstream sends, on its way to a client; an async iterator of non-empty bytes.

    ``source`` is an async iterable of bytes, an httpx or aiohttp response, or aiohttp's ``response.content``;
    ``response`` is the response that owns it, where that is another object. Both are closed with the stream.
    ``rewriter`` is new, a `sse_fast.Rewriter` or anything with its ``feed`` and ``finish``. All times are in seconds.

    - The source is asked for a chunk only while the stream is asked for one. With ``heartbeat``, ``idle_timeout`` or
      ``on_disconnect="drain"`` a task does the reading; else no task is made.
    - A cancel, `aclose`, leaving ``async with`` or dropping the stream closes the source, once, before the call
      returns; ``CancelledError`` always goes on up. A second cancel does not wait, closing goes on without it.
    - Where the upstream fails the client gets every whole event and no half one; then the error is raised, or, with
      ``errors="event"``, the dialect's error event is sent and the stream ends. Where half of an event is out already,
      because it is larger than the rewriter holds, the error is raised in any case. An upstream that ends in the middle
      of an event, or by the dialect too early, has failed: `TruncatedError`.
    - ``heartbeat``: after so long without output the dialect's keep-alive is sent, never inside an event.
    - ``idle_timeout``: after so long without an event with data `IdleTimeoutError` is the error; time in which the
      client did not ask does not count.
    - ``on_disconnect="drain"``: where the client leaves, the upstream is read on in the background for captures and
      taps, for ``drain_timeout`` at most, and closed then. The stream alone must own the response.
    - ``on_end(report)`` is called once, when the source is closed, whatever happened. What it raises is logged.
    """

    def __init__(
        self,
        source: Any,
        rewriter: Feedable,
        *,
        response: object = None,
        dialect: Dialect | Any = None,
        errors: Literal["raise", "event"] = "raise",
        on_disconnect: Literal["cancel", "drain"] = "cancel",
        drain_timeout: float = 60.0,
        heartbeat: float | None = None,
        idle_timeout: float | None = None,
        on_end: Callable[[StreamReport], object] | None = None,
    ) -> None:
        if on_disconnect not in ("cancel", "drain"):
            raise ValueError(f"on_disconnect must be 'cancel' or 'drain', not {on_disconnect!r}")
        for name, seconds in (
            ("drain_timeout", drain_timeout),
            ("heartbeat", heartbeat),
            ("idle_timeout", idle_timeout),
        ):
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{name} must be more than 0 seconds, not {seconds!r}")
        passage = self._passage = Passage(rewriter, dialect=dialect, errors=errors, on_end=on_end)
        upstream = Source(source, response)
        self._outputs: Any = _outputs(upstream, passage)
        self._end: Callable[[], Coroutine[Any, Any, None]] = lambda: _end(upstream, passage)
        self._pump: Pump | None = None
        self._peeked: deque[bytes] = deque()
        self._begun = False
        drains = on_disconnect == "drain"
        if heartbeat is not None or idle_timeout is not None or drains:
            self._use_pump(heartbeat, idle_timeout, drain_timeout if drains else None)

    def _use_pump(self, heartbeat: float | None, idle_timeout: float | None, drain_timeout: float | None) -> Pump:
        self._pump = Pump(
            self._outputs,
            self._passage,
            self._end,
            heartbeat=heartbeat,
            idle_timeout=idle_timeout,
            drain_timeout=drain_timeout,
        )
        self._outputs, self._end = self._pump.outputs(), self._pump.close
        return self._pump

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> "AsyncGenerator[bytes, None] | RewriteStream":
        self._begun = True
        # The generator itself spares each chunk a step.
        return self if self._peeked else self._outputs

    async def __anext__(self) -> bytes:
        self._begun = True
        if self._peeked:
            output = self._peeked.popleft()
            self._passage.has_given(output)
            return output
        return await anext(self._outputs)

    async def aclose(self) -> None:
        """Close the source and conclude, where that has not happened; with ``on_disconnect="drain"`` begin to drain."""
        if self._peeked:
            self._passage.leave(with_all=False)
            self._peeked.clear()
        self._passage.closed = True
        if self._outputs.ag_running and self._pump is None:
            await self._interrupt()
        await self._end()
        if not self._outputs.ag_running:
            await self._outputs.aclose()

    async def _interrupt(self) -> None:
        """Another task reads, or closes already: to the one that reads the stream is at its end."""
        if self._passage.concluded:
            return
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._passage.then.append(lambda: over.done() or over.set_result(None))  # type: ignore[func-returns-value]
        if not self._passage.closing:
            reader = _reader(self._outputs)
            if reader is None:
                raise RuntimeError("another task reads this stream and cannot be found: cancel that task")
            self._passage.cancel(reader)
        await over

    async def peek(self, *, timeout: float | None = None) -> Event | None:
        """The first event with data, as the client will get it, before anything has been given out; None where the
        stream ends, 1 MiB passes or ``timeout`` seconds pass without one.

        The stream then gives all of it from its beginning, and a read that a ``timeout`` left goes on. An error is
        raised in any case, and ends the stream: nothing has been sent, so there is a status to choose yet. No
        keep-alive is sent meanwhile.
        """
        if self._begun:
            raise RuntimeError("peek must come before the first output, and this stream has begun")
        parser, held = Parser(), sum(map(len, self._peeked))
        for output in self._peeked:
            if events := parser.feed(output):
                return events[0]
        self._passage.peeking = True
        bell = _Bell(self._pump or self._use_pump(None, None, None), timeout) if timeout is not None else None
        try:
            while held <= PEEK_LIMIT and (output := await anext(self._outputs, b"")):
                self._peeked.append(output)
                held += len(output)
                if events := parser.feed(output):
                    return events[0]
            return None
        except BaseException:
            self._peeked.clear()
            raise
        finally:
            self._passage.peeking = False
            if bell is not None:
                bell.stop()

    def fail(self, error: Exception) -> None:
        """End the stream from outside, as if the upstream had raised ``error`` now: a gateway that shuts down.

        The client gets what is whole, then the error or the error event, when it asks the next time. Nothing happens
        to a stream that has ended.
        """
        self._passage.failure = error
        reader = self._pump.reader if self._pump is not None else _reader(self._outputs)
        if reader is not None and not self._passage.closing:
            self._passage.cancel(reader)

    def tap(self, side: Literal["upstream", "client"] = "upstream", max_bytes: int = 1 << 20) -> Tap:
        """A copy of what comes from the upstream, or goes to the client, from now on; ``max_bytes`` wait at most."""
        return self._passage.tap(side, max_bytes)

    @property
    def report(self) -> StreamReport:
        """What is known so far; final once the stream is closed."""
        return self._passage.report


async def _outputs(upstream: Source, passage: Passage) -> AsyncGenerator[bytes, None]:
    """The stream itself: every way that it can end is here."""
    passage.begin()
    try:
        try:
            if passage.failure is not None:
                raise passage.failure
            async for chunk in upstream.iterator:
                if output := passage.rewrite(chunk):
                    yield output
                    if passage.failure is not None:
                        raise passage.failure
            if passage.takes_back_cancels() and passage.failure is not None:
                raise passage.failure  # To some sources a cancel is the end.
            if passage.closed and not passage.left:
                return  # What another task has closed is no end.
            if output := passage.finish():
                yield output
        except (Exception, asyncio.CancelledError) as raised:
            passage.closing = True
            error = _meant(raised, passage)
            if error is None:
                return
            await upstream.close()
            if output := passage.salvage(error):
                yield output
            if output := passage.fail(error):
                yield output
            if passage.raises and error is not raised:
                raise error from raised
            if passage.raises:
                raise
        passage.complete()
    finally:
        passage.closing = True
        await _end(upstream, passage)


def _meant(raised: Exception | asyncio.CancelledError, passage: Passage) -> Exception | None:
    """The error that an exception stands for, None for the end.

    A read that took too long or has to end was cancelled, and so was one whose stream was closed. Any other cancel goes
    on up.
    """
    closed = passage.closed and not passage.left
    if passage.takes_back_cancels():
        return passage.failure
    if isinstance(raised, asyncio.CancelledError):
        raise raised
    return None if closed else raised


class _Bell:
    """Interrupts who waits for a pump, after so many seconds."""

    def __init__(self, pump: Pump, seconds: float) -> None:
        self._pump = pump
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        if not self._pump.interrupt():  # Nobody waits just now.
            self._timer = asyncio.get_running_loop().call_later(0.001, self._ring)

    def stop(self) -> None:
        self._timer.cancel()


def _reader(outputs: Any) -> asyncio.Task[Any] | None:
    """The task that waits in a generator: to note it beforehand would cost each chunk 200 ns."""
    if not outputs.ag_running:
        return None  # A coroutine that loops over it refers to it all the while.
    for task in asyncio.all_tasks():
        awaited: Any = task.get_coro()
        while awaited is not None and awaited is not outputs:
            # What `anext` of an async generator gives, with a default or without, tells only the collector of itself.
            generators = filter(_is_of_a_generator, gc.get_referents(awaited))
            awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None) or next(generators, None)
        if awaited is outputs:
            return task
    return None


def _is_of_a_generator(awaited: object) -> bool:
    return inspect.isasyncgen(awaited) or type(awaited).__name__ == "async_generator_asend"


async def _end(upstream: Source, passage: Passage) -> None:
    try:
        await upstream.close()
    finally:
        passage.conclude(upstream.error)
