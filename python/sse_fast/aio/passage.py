"""One stream on its way through a rewriter: what every kind of stream here, pulled or pushed, has in common."""

import asyncio
import json
import logging
import re
import time
import weakref
from collections.abc import Callable
from typing import Any, Literal, Protocol

from sse_fast.aio.report import Dialect, Outcome, StreamReport
from sse_fast.aio.tap import Tap
from sse_fast.errors import IdleTimeoutError, RefusalError, TruncatedError

logger = logging.getLogger("sse_fast")

BOM = b"\xef\xbb\xbf"
# Comments and JSON without a field name, as some errors come, are no event that could be half.
OF_AN_EVENT = re.compile(rb"(?:^|[\r\n])(?:data|event|id)(?=[:\r\n]|$)")
KEEP_ALIVE = b": keep-alive\n\n"


class Feedable(Protocol):
    """A rewriter, as far as a stream needs one; with ``captured``, ``stats`` and so on it is told more."""

    def feed(self, data: bytes, /) -> bytes:
        """Bytes in, bytes out."""

    def finish(self) -> bytes:
        """The rest."""


class Passage:
    """Feeds a rewriter, keeps the clock, tells taps, ends the stream as it deserves and reports once.

    Bytes go through `rewrite`; then come `finish` and `complete` where the upstream ended, or `salvage` and `fail`
    where something raised; last of all `conclude`.
    """

    rewrite: Callable[[bytes], bytes]
    """Bytes in, bytes out. It is the rewriter's own ``feed`` while nobody watches."""

    def __init__(
        self,
        rewriter: Feedable,
        *,
        dialect: Dialect | None = None,
        errors: Literal["raise", "event"] = "raise",
        on_end: Callable[[StreamReport], object] | None = None,
    ) -> None:
        if errors not in ("raise", "event"):
            raise ValueError(f"errors must be 'raise' or 'event', not {errors!r}")
        self.rewriter = rewriter
        self.keep_alive: bytes = getattr(dialect, "keep_alive", KEEP_ALIVE)
        self.raises = errors == "raise"
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self.failure: Exception | None = None
        """Set by who ends the stream from outside: its error, and what a `cancel` stands for."""
        self.concluded = False
        self.then: list[Callable[[], object]] = []
        """What to call last."""
        self.closing = False
        """The source is not read any more."""
        self.closed = False
        """Set by who closes the stream while a task reads it: that task is told of the end."""
        self.peeking = False
        """Nothing has been sent and nothing may be: no keep-alive, and an error is raised."""
        self.left = False
        """The client is gone; what is read on is for captures and taps."""
        self.data_at = 0.0
        """When the last event with data came, by the clock of `watch_data`."""
        self._data_clock: Callable[[], float] | None = None
        self.rewrite = self._rewrite
        self._dialect = dialect
        self._on_end = on_end
        self._taps: dict[str, list[Tap]] = {"upstream": [], "client": []}
        self._start = time.monotonic()
        self._first_byte: float | None = None
        self._first_data: float | None = None
        self._duration: float | None = None
        self._final: StreamReport | None = None  # What captures have seen is decoded for each report.
        self._events = 0
        self._begun = False
        # The task that began to read, and how many cancels it had taken before, as `asyncio.timeout` notes it: one that
        # comes just before ours is not ours.
        self._reader: weakref.ref[asyncio.Task[Any]] | None = None
        self._cancels = self._cancelling = 0
        # Where the output ended before `finish` gave half an event, which is thrown away.
        self._ended_at_boundary: bool | None = None
        # Behind a keep-alive the upstream's BOM would be part of its first line.
        self._drops_bom = False

    def begin(self) -> None:
        """The task that runs this begins to read."""
        task = asyncio.current_task()
        if task is not None:
            self._reader, self._cancelling = weakref.ref(task), task.cancelling()

    def cancel(self, task: asyncio.Task[Any]) -> None:
        """Cancel the task that reads, to make it tell of ``failure`` or of the end."""
        if not self._cancels and (self._reader is None or self._reader() is not task):
            self._cancelling = task.cancelling()
        self._cancels += 1
        task.cancel()

    def takes_back_cancels(self) -> bool:
        """Take back all that came from `cancel`; whether there were any and no others, as `asyncio.timeout` does."""
        cancels, self._cancels = self._cancels, 0
        task = asyncio.current_task() if cancels else None
        if task is None:
            return False
        for _ in range(cancels):
            task.uncancel()
        return task.cancelling() <= self._cancelling

    def tap(self, side: str, max_bytes: int) -> Tap:
        """A tap on what comes from the ``"upstream"`` or goes to the ``"client"`` from now on."""
        if side not in self._taps:
            raise ValueError(f"side must be 'upstream' or 'client', not {side!r}")
        tap = Tap(max_bytes)
        if self.concluded:
            tap.end()
        else:
            self._taps[side].append(tap)
            self.rewrite = self._rewrite
        return tap

    def watch_data(self, clock: Callable[[], float]) -> None:
        """Keep ``data_at``."""
        self._data_clock = clock
        self.data_at = clock()

    def _rewrite(self, chunk: bytes) -> bytes:
        if self._first_byte is None and chunk:
            self._first_byte = time.monotonic()
        for tap in self._taps["upstream"]:
            tap.push(chunk)
        output = self.rewriter.feed(chunk)
        if self._first_data is None or self._data_clock is not None:
            self._look_for_data(output)
        output = self._to_client(output)
        watches = self._data_clock is not None or any(self._taps.values())
        if self._begun and self._first_data is not None and not watches:
            self.rewrite = self.rewriter.feed
        return output

    def _look_for_data(self, output: bytes) -> None:
        stats = getattr(self.rewriter, "stats", None)
        events = stats.events if stats is not None else self._events + bool(output)
        # An event that is larger than can be held is data on its way.
        if self._data_clock is not None and (events > self._events or not self.at_boundary):
            self.data_at = self._data_clock()
        if events and self._first_data is None:
            self._first_data = time.monotonic()
        self._events = events

    def _to_client(self, output: bytes) -> bytes:
        if output and not self._begun:
            self._begun = True
            output = output.removeprefix(BOM) if self._drops_bom else output
        if not self.left and not self.peeking:
            self.has_given(output)
        return output

    def has_given(self, output: bytes) -> None:
        """The client gets these bytes."""
        for tap in self._taps["client"]:
            tap.push(output)

    @property
    def at_boundary(self) -> bool:
        """An event of one's own may follow."""
        if self._ended_at_boundary is not None:
            return self._ended_at_boundary
        return getattr(self.rewriter, "at_boundary", True)

    @property
    def is_terminal(self) -> bool:
        """The event that ends the stream has come."""
        decide = getattr(self._dialect, "is_terminal", None)
        if decide is not None:
            return bool(decide(self.report))
        return self.is_done

    @property
    def is_done(self) -> bool:
        """`[DONE]` has come, after which nothing comes."""
        stats = getattr(self.rewriter, "stats", None)
        return stats is not None and bool(stats.done)

    def beat(self) -> bytes:
        """The keep-alive that may be sent now; ``b""`` inside an event and after the last one."""
        return b"" if self.peeking or not self.at_boundary or self.is_terminal else self.keep_alive

    def has_beaten(self) -> None:
        """It was sent."""
        self._drops_bom = not self._begun
        self.has_given(self.keep_alive)

    def finish(self) -> bytes:
        """The upstream ended: the rest. Raises `TruncatedError` where it should not have ended here."""
        at_boundary = self.at_boundary
        output = self.rewriter.finish()
        stats = getattr(self.rewriter, "stats", None)
        if stats is not None and (stats.truncated or self._is_half(output)):
            self._ended_at_boundary = at_boundary
            raise TruncatedError("the upstream ended in the middle of an event")
        if self._first_data is None and output:
            self._look_for_data(output)
        decide = getattr(self._dialect, "is_complete", None) or getattr(self._dialect, "is_terminal", None)
        if decide is not None and not decide(self.report):
            raise TruncatedError("the upstream ended without the event that ends a stream", output)
        return self._to_client(output)

    def _is_half(self, output: bytes) -> bool:
        """Whether it begins an event whose data never came."""
        return not self.at_boundary and OF_AN_EVENT.search(output) is not None

    def salvage(self, error: Exception) -> bytes:
        """Reading or rewriting raised: what was whole before."""
        return self._to_client(getattr(error, "output", b""))

    def fail(self, error: Exception) -> bytes:
        """Then, the error event. Where ``raises`` says so after this, raise the error."""
        self.error = error
        if self.left:
            return b""
        if isinstance(error, TruncatedError):
            self.outcome = "truncated"
        elif isinstance(error, IdleTimeoutError):
            self.outcome = "idle_timeout"
        else:
            self.outcome = "upstream_error"
        # Half an event is out and cannot be called back: only a broken connection tells the client so.
        self.raises = self.raises or self.peeking or not self.at_boundary
        if self.raises:
            return b""
        write = getattr(self._dialect, "error_event", None) or _error_event
        return self._to_client(write(error, self.report))

    def complete(self) -> None:
        """The client has had everything."""
        self.outcome = self.outcome or "completed"

    def leave(self, *, with_all: bool = True) -> None:
        """The client left, ``with_all`` that came so far: no harm after the event that ends the stream."""
        self.left = True
        self.outcome = self.outcome or ("completed" if with_all and self.is_terminal else "cancelled")

    def conclude(self, close_error: BaseException | None = None) -> None:
        """The stream is over and its source closed: end the taps, report. Only the first call does anything.

        Without `complete` or `fail` before, the client left.
        """
        if self.concluded:
            return
        self.concluded = True
        self.leave()
        self.error = self.error or close_error
        self._duration = time.monotonic() - self._start
        for tap in (*self._taps["upstream"], *self._taps["client"]):
            tap.end()
        self._final = self.report
        if self._on_end is not None:
            try:
                self._on_end(self._final)
            except Exception:
                logger.exception("on_end of a stream raised")
        for call in self.then:
            call()

    @property
    def report(self) -> StreamReport:
        """What is known so far."""
        if self._final is not None:
            return self._final
        return StreamReport(
            outcome=self.outcome,
            captured=getattr(self.rewriter, "captured", {}),
            next_numbers=getattr(self.rewriter, "next_numbers", {}),
            stats=getattr(self.rewriter, "stats", None),
            first_byte=self._since_start(self._first_byte),
            first_data=self._since_start(self._first_data),
            duration=self._duration,
            error=self.error,
        )

    def _since_start(self, moment: float | None) -> float | None:
        return None if moment is None else moment - self._start


def _error_event(error: BaseException, report: StreamReport) -> bytes:
    # The text of an exception may name hosts and keys: the client gets the kind alone.
    messages: dict[Any, str] = {
        "truncated": "the upstream ended before its answer was complete",
        "idle_timeout": "the upstream sent nothing for too long",
    }
    message = messages.get(report.outcome, "the upstream failed before its answer was complete")
    if isinstance(error, RefusalError):
        message = error.message
    body = json.dumps({"error": {"type": report.outcome, "message": message}}, separators=(",", ":"))
    return f"event: error\ndata: {body}\n\n".encode()
