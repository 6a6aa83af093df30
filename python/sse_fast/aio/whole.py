"""Bodies that are no event streams, fed as a rewriter is: for a `RewriteStream` that has to close, time and report."""

from sse_fast.errors import RefusalError
from sse_fast.rules import Rules


class Unchanged:
    """Any body, as it is."""

    def feed(self, data: bytes, /) -> bytes:
        """The same."""
        return data

    def finish(self) -> bytes:
        """Nothing more."""
        return b""


class WholeJSON:
    """A body that is one JSON text: it is held until it is whole, at most ``limit`` bytes, and given rewritten.

    Before anything is sent ``await stream.peek()`` waits for all of it.
    """

    body: bytes
    """As it came, once it is whole."""
    rewritten: bytes
    """As it is given then."""

    def __init__(self, rules: Rules, limit: int) -> None:
        self.body = self.rewritten = b""
        self._rules = rules
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes, /) -> bytes:
        """Nothing yet. `RefusalError` with 502 where it is too large."""
        self._held += data
        if len(self._held) > self._limit:
            raise RefusalError(502, f"the upstream's answer is larger than {self._limit} bytes")
        return b""

    def finish(self) -> bytes:
        """All of it, rewritten."""
        self.body, self._held = bytes(self._held), bytearray()
        self.rewritten = self._rules.rewrite_json(self.body)
        return self.rewritten
