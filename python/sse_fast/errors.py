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


class RefusalError(SSEFastError):
    """An error of one's own choice, told in the API's form as it is: its status and its message reach the client.

    For what a gateway refuses by itself, before a stream (`sse_fast.dialects.Dialect.error_body`) or in one
    (``error_event``). All other exceptions reach the client as a sentence of this library's.
    """

    status: int
    """An HTTP status, 400 to 599."""
    message: str
    """A sentence for people: no host, no key."""

    def __init__(self, status: int, message: str) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"a refusal's status is 400 to 599, not {status}")
        super().__init__(status, message)
        self.status = int(status)
        self.message = message

    def __str__(self) -> str:
        return self.message


class EncodingError(SSEFastError):
    """A body whose content-encoding cannot be decoded, or whose compressed bytes are broken."""
