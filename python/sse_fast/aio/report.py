"""What is known of a stream, while it runs and when it is over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from sse_fast._rust import Stats

Outcome: TypeAlias = Literal["completed", "truncated", "cancelled", "upstream_error", "idle_timeout"]


@dataclass(frozen=True, slots=True)
class StreamReport:
    """One stream in figures; times are seconds since the stream was made, None for what has not happened."""

    outcome: Outcome | None = None
    """How it ended; None while it runs.

    ``completed``: the upstream ended as it should, or the client left after the event that ends the stream.
    ``truncated``: the upstream ended in the middle of an event, or without the event that ends the stream.
    ``cancelled``: the client, or whoever read the stream, left before that.
    ``upstream_error``: reading or rewriting raised; see ``error``.
    ``idle_timeout``: no event with data came for ``idle_timeout`` seconds.
    """
    captured: Mapping[str, Any] = field(default_factory=dict)
    """What the rewriter's captures saw."""
    next_numbers: Mapping[str, int] = field(default_factory=dict)
    """What the rewriter's `Renumber` rules have for the next event, an error event perhaps, by their paths."""
    stats: Stats | None = None
    """The rewriter's counts."""
    first_byte: float | None = None
    """Until the first byte of the upstream."""
    first_data: float | None = None
    """Until the first whole event with data."""
    duration: float | None = None
    """Until the end, with the source closed."""
    error: BaseException | None = None
    """What went wrong first, closing the source included."""


class Dialect(Protocol):
    """What an API has its own form for. Each may be missing: the stream then does what is written here."""

    @property
    def keep_alive(self) -> bytes:
        """A whole block to send in idle time; a comment unless given."""

    def is_terminal(self, report: StreamReport, /) -> bool:
        """Whether the stream has had the event that ends it; unless given, any end between two events is good."""

    def is_complete(self, report: StreamReport, /) -> bool:
        """Whether an upstream that ends now has said all; ``is_terminal`` unless given."""

    def error_event(self, error: BaseException, report: StreamReport, /) -> bytes:
        """Whole blocks that tell the client of the error; an ``error`` event with a JSON object unless given."""
