"""The compiled half of sse_fast. Public names are imported from `sse_fast`; this stub is their reference."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from contextvars import Context
from typing import Any, Literal, Self, final

from typing_extensions import Buffer, disjoint_base

from sse_fast.rules import Rule

__all__ = ["Event", "Parser", "Rewriter", "Rules", "Stats", "Stepper", "check_path", "check_rule"]

@final
class Event:
    """One event as the standard dispatches it (WHATWG HTML, server-sent events); invalid UTF-8 is U+FFFD."""

    __match_args__ = ("event", "data", "id", "retry")

    def __new__(cls, event: str = "message", data: str = "", id: str = "", retry: int | None = None) -> Self: ...
    @property
    def event(self) -> str:
        """The event type, ``"message"`` where the stream names none."""
    @property
    def data(self) -> str:
        """The ``data:`` lines, joined with LF."""
    @property
    def id(self) -> str:
        """The last event ID at dispatch."""
    @property
    def retry(self) -> int | None:
        """The reconnection time that this block set, in milliseconds."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __getnewargs__(self) -> tuple[str, str, str, int | None]: ...

@final
class Parser:
    """An incremental event stream parser for clients (WHATWG HTML, "interpreting an event stream")."""

    def __new__(cls) -> Self: ...
    def feed(self, data: Buffer) -> list[Event]:
        """Read one chunk, cut anywhere; every event that it completes, in order.

        Raises `FinishedError` after `finish`, `TypeError` for what is no buffer, `RuntimeError` where another thread is
        in this parser.
        """
    def finish(self) -> list[Event]:
        """End the stream: an empty list, for the standard discards an event that has no blank line after it."""
    @property
    def last_event_id(self) -> str:
        """The last event ID, to resume with; ``""`` where the stream gave none."""
    @property
    def retry(self) -> int | None:
        """The reconnection time in milliseconds, where the stream has set one."""

@disjoint_base
class Rules:
    """Compiled rules; `sse_fast.Rules` is the class to use."""

    def __new__(cls, specs: list[tuple[Any, ...]]) -> Self: ...
    def rewrite_json(self, body: Buffer) -> bytes:
        """Rewrite a body that is one JSON text (RFC 8259), byte-preserving as in a stream.

        A body that is no JSON object or array passes unchanged; where nothing changes a ``bytes`` body is returned
        itself.
        `DropEvent` and `Capture` do nothing here. What a Transform's function raises comes out.
        """
    def read_json(self, body: Buffer) -> dict[str, Any]:
        """What each `Capture` sees in a body that is one JSON text, by name, as `Rewriter.captured` gives it.

        None, or an empty list with ``keep="all"``, where it sees nothing or the body is no JSON object or array.
        """

@final
class Stats:
    """Counts of one stream, as they were when asked for."""

    @property
    def events(self) -> int:
        """Whole blocks with a data line."""
    @property
    def rewritten(self) -> int:
        """Events that left with an edit of their payload."""
    @property
    def invalid(self) -> int:
        """Events whose payload is neither a JSON text nor ``[DONE]``."""
    @property
    def dropped(self) -> int:
        """Blocks that a `DropEvent`, ``on_invalid`` or ``empty_blocks`` dropped."""
    @property
    def comments(self) -> int:
        """Comment lines seen."""
    @property
    def bytes_in(self) -> int:
        """Bytes fed."""
    @property
    def bytes_out(self) -> int:
        """Bytes returned."""
    @property
    def done(self) -> bool:
        """A ``[DONE]`` was seen."""
    @property
    def truncated(self) -> bool:
        """The stream ended in the middle of an event."""
    @property
    def oversize(self) -> int:
        """Values larger than ``max_held`` that a rule would have had to look at; they passed."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class Rewriter:
    """Rewrites one event stream: bytes in, bytes out.

    ``rules`` is a `Rules` or any iterable of rules. ``max_held`` is how many bytes of one event may be held (at least
    1; 1 MiB unless given): an event up to that size leaves whole, a larger one streams through, still rewritten.
    ``on_invalid``, ``comments`` and ``empty_blocks`` are policies; unless given they change nothing.
    """

    def __new__(
        cls,
        rules: Rules | Iterable[Rule],
        *,
        max_held: int = 1048576,
        on_invalid: Literal["pass", "drop", "raise"] = "pass",
        comments: Literal["keep", "drop"] | str = "keep",
        empty_blocks: Literal["keep", "drop"] = "keep",
    ) -> Self: ...
    def feed(self, data: Buffer) -> bytes:
        """Read one chunk, cut anywhere; every event that it completes, ``b""`` where it completes none.

        Where the chunk is a whole number of events and nothing changes, the very object that came in is returned.

        Raises `InvalidEventError` under ``on_invalid="raise"`` and what a Transform's function raises, both with
        ``.output``, what was complete before, and both again at every later call; `FinishedError` after `finish`;
        `TypeError` for what is no buffer; `RuntimeError` where another thread, or a Transform further up, is in this
        rewriter.
        """
    def finish(self) -> bytes:
        """End the stream; the rest.

        An event that the upstream left without its blank line gets one, in the stream's own line ending. Half an event
        passes without it, so that no client dispatches it, and `stats` says ``truncated``. Raises as `feed` does.
        """
    @property
    def captured(self) -> dict[str, Any]:
        """What each `Capture` has seen, by name: a Python value, None where nothing was seen.

        With ``keep="all"`` a list. A value that Python's own decoder refuses is given as its JSON text.
        """
    @property
    def next_numbers(self) -> dict[str, int]:
        """The number that each `Renumber` has for the next event, by its path: an event of one's own may take it.

        Without those that still wait for the first number.
        """
    @property
    def stats(self) -> Stats:
        """The counts so far."""
    @property
    def last_event_id(self) -> str:
        """The last event ID (WHATWG HTML); ``""`` where the stream gave none."""
    @property
    def at_boundary(self) -> bool:
        """True where the output so far ends between two events, so that an event of one's own may follow."""

@final
class Stepper:
    """Reads an async iterator for whoever awaits it, in the name of one task; a part of `sse_fast.aio`.

    ``await stepper`` waits until an item is there or the source has ended, and raises what the source raises; `take`
    gives the item. A wait can be left, and the read goes on: what it brings is kept for the next to wait, and
    ``unclaimed`` is called where nobody waits when it ends. With ``survives`` a read outlives a cancel of the task that
    waits, else it is cancelled with it.

    Raises `RuntimeError` where it is made outside of a loop, or awaited without a ``task``.
    """

    def __new__(
        cls, source: AsyncIterator[bytes], unclaimed: Callable[[], object], *, survives: bool = False
    ) -> Self: ...
    task: asyncio.Task[Any] | None
    """What `asyncio.current_task` gives inside of the source."""
    def take(self) -> bytes | None:
        """The item that the last wait was for, once; None at the end."""
    @property
    def is_reading(self) -> bool:
        """A read is under way."""
    @property
    def is_full(self) -> bool:
        """A read has ended, and nobody has waited for what it came to."""
    @property
    def is_awaited(self) -> bool:
        """A task waits."""
    @property
    def waiting(self) -> float:
        """How long the task that waits has waited, in seconds; 0 where none does."""
    @property
    def waited(self) -> float:
        """How long tasks have waited in all, in seconds."""
    def interrupt(self, item: bytes) -> bool:
        """Give the task that waits an item while the read goes on; whether there was one to take it."""
    def end(self) -> None:
        """Begin no read any more: who waits, now or later, gets None."""
    def cancel_read(self, msg: object = None) -> bool:
        """Cancel the read that is under way, if one is, as `asyncio.Task.cancel` does; whether one is."""
    def __call__(self, future: asyncio.Future[Any] | None) -> None:
        """For the loop to call when the read can go on."""

    # A future, to the task that waits.
    _asyncio_future_blocking: bool
    @property
    def _loop(self) -> asyncio.AbstractEventLoop: ...
    def __await__(self) -> Generator[Any]: ...
    def __next__(self) -> Any: ...
    def throw(self, kind: Any, value: Any = None, traceback: Any = None, /) -> Any: ...
    def add_done_callback(self, wake: Callable[[Any], object], /, *, context: Context) -> None: ...
    def cancel(self, msg: object = None) -> bool: ...
    def result(self) -> None: ...

def check_path(path: str) -> None:
    """Raise `RuleError` where the text is no path that rules know."""

def check_rule(spec: tuple[Any, ...]) -> None:
    """Raise `RuleError` where a rule makes no sense by itself."""
