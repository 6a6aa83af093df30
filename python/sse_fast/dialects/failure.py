"""Errors as a client may know them: a status and a sentence, no host and no key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sse_fast.errors import EncodingError, RefusalError, TruncatedError

# What OpenAI answers with, a wrong key (401) included; it has no words for what a gateway's upstream does.
_OPENAI = {
    400: "invalid_request_error",
    429: "rate_limit_exceeded",
    500: "server_error",
    502: "upstream_error",
    503: "service_unavailable_error",
    504: "upstream_timeout",
    529: "service_unavailable_error",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, as a client is told of it."""

    status: int
    """That of a `RefusalError`; else 504 where the upstream took too long, 502 for anything else (RFC 9110, 15.6)."""
    message: str
    """A sentence for people."""

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """What an exception comes to. The timeouts of httpx are no `TimeoutError`; their names say what they are."""
        if isinstance(error, RefusalError):
            return cls(error.status, error.message)
        if isinstance(error, TimeoutError) or any("Timeout" in kind.__name__ for kind in type(error).__mro__):
            return cls(504, "the upstream did not answer in time")
        if isinstance(error, TruncatedError):
            return cls(502, "the upstream ended before its answer was complete")
        if isinstance(error, EncodingError):
            return cls(502, "the upstream's answer cannot be decoded")
        return cls(502, "the upstream failed before its answer was complete")

    def word(self, words: Mapping[int, str]) -> str:
        """The word for the status; those for 400 and 500 stand for all that have none (RFC 9110, 15)."""
        return words.get(self.status) or words[self.status // 100 * 100]

    @property
    def kind(self) -> str:
        """A word for programs, OpenAI's where it has one."""
        return self.word(_OPENAI)

    def openai(self) -> dict[str, Any]:
        """As OpenAI's APIs say it in a JSON body."""
        return {"error": {"message": self.message, "type": self.kind, "param": None, "code": str(self.status)}}

    def event(self) -> bytes:
        """An event that no API in particular would send."""
        return block({"error": {"type": self.kind, "message": self.message}}, event="error")

    def body(self) -> bytes:
        """A JSON body that no API in particular would send."""
        return text(self.openai())


def text(value: Any) -> bytes:
    """The JSON text of a value, compact."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate, in an id perhaps, has no UTF-8, only its escape
        return json.dumps(value, separators=(",", ":")).encode()


def block(value: Any, *, event: str | None = None, ending: bytes = b"\n") -> bytes:
    """A block with the value as its data."""
    name = b"" if event is None else b"event: " + event.encode() + ending
    return name + b"data: " + text(value) + ending * 2
