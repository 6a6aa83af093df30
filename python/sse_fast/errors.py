"""What can go wrong."""


class SSEFastError(Exception):
    """Every error of this library."""


class RuleError(SSEFastError, ValueError):
    """A rule or a path that cannot be used; raised at construction, never in a stream."""

    path: str | None
    """The path as given, where the mistake belongs to one."""
    offset: int | None
    """Where in the path, in characters, where the mistake has a place."""

    def __init__(self, message: str, path: str | None = None, offset: int | None = None) -> None:
        super().__init__(message, path, offset)
        self.path = path
        self.offset = offset

    def __str__(self) -> str:
        return str(self.args[0])


class InvalidEventError(SSEFastError):
    """A payload that is neither JSON nor ``[DONE]``, under ``on_invalid="raise"``."""

    offset: int
    """Offset in the stream of the first byte that cannot be part of a JSON text."""
    output: bytes
    """What the call had completed before."""

    def __init__(self, message: str, offset: int, output: bytes) -> None:
        super().__init__(message, offset, output)
        self.offset = offset
        self.output = output

    def __str__(self) -> str:
        return str(self.args[0])


class FinishedError(SSEFastError, RuntimeError):
    """The rewriter is finished: each stream needs a new one."""


class TruncatedError(SSEFastError):
    """The upstream ended in the middle of an event, or without the event that ends a stream of its API."""

    output: bytes
    """What was whole and had not left yet; the half event is not in it."""

    def __init__(self, message: str, output: bytes = b"") -> None:
        super().__init__(message, output)
        self.output = output

    def __str__(self) -> str:
        return str(self.args[0])


class IdleTimeoutError(SSEFastError, TimeoutError):
    """The upstream sent no event with data for ``idle_timeout`` seconds."""


class EncodingError(SSEFastError):
    """A body whose content-encoding cannot be decoded, or whose compressed bytes are broken."""
