"""Whatever an upstream answers, on its way through a gateway."""

import re
from collections.abc import AsyncIterable, Callable
from typing import Any, Literal

from sse_fast.aio.passage import Feedable
from sse_fast.aio.report import Dialect, StreamReport
from sse_fast.aio.stream import RewriteStream
from sse_fast.encoding import decoded
from sse_fast.errors import RefusalError, SSEFastError
from sse_fast.http import (
    Headers,
    end_to_end_headers,
    event_stream_headers,
    is_event_stream,
    is_json,
    pairs,
    rewritten_headers,
)
from sse_fast.rules import Rules

NO_BODY = (204, 205, 304)  # RFC 9110, 15
# Servers write their own in any case, and twice is once too often (RFC 9110, 5.3).
OF_THE_SERVER = {"date", "server"}
# RFC 9110, 5.5: nothing that a field value may hold, and who reads it as text may break off there.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class UpstreamResponse:
    """A response whose event stream or JSON body is rewritten; any other passes as it is.

    ``status``, ``headers`` and ``chunks`` are the upstream's; the chunks as they came, not decoded, as aiohttp gives
    them with ``auto_decompress=False`` and httpx with ``aiter_raw()``. ``response`` is what owns them and is closed
    with them, ``method`` that of the request.

    - An event stream goes through ``rewriter``, with the options of `RewriteStream`. With any status but 2xx it may end
      anywhere, for some servers call all that they answer an event stream: a JSON error passes as it is.
    - A JSON body is held until it is whole, at most ``max_body`` bytes, and goes through ``body_rules``.
    - Where these are None, and for all else (other types, answers to HEAD, without a body), the bytes pass.
    - A slice counts as whole, and one of JSON is no JSON: ask for none (`sse_fast.http.request_headers` does not).

    What is rewritten is decoded; `EncodingError` where it cannot be. Raises `SSEFastError` for a response that must not
    be passed on: a status, a header or a transfer coding that HTTP does not know. Nothing is closed then.
    """

    status: int
    headers: list[tuple[str, str]]
    """To answer with, names in lower case; those of a JSON body are complete once `begin` has returned."""
    stream: RewriteStream
    """The body. It is the owner's to iterate and to close."""
    kind: Literal["event stream", "json", "other"]
    """What is rewritten; ``other`` where nothing is."""

    def __init__(
        self,
        status: int,
        headers: Headers,
        chunks: AsyncIterable[bytes],
        *,
        response: object = None,
        method: str = "GET",
        rewriter: Feedable | None = None,
        body_rules: Rules | None = None,
        max_body: int = 16 << 20,
        dialect: Dialect | Any = None,
        errors: Literal["raise", "event"] = "raise",
        heartbeat: float | None = None,
        idle_timeout: float | None = None,
        on_end: Callable[[StreamReport], object] | None = None,
    ) -> None:
        given = _checked(status, headers)
        self.status, self.kind = status, "other"
        self.headers = end_to_end_headers(given, without=OF_THE_SERVER)
        self._whole: _WholeJSON | None = None
        rewrites: Feedable | None = None
        options: dict[str, Any] = {}
        content_type = _value(given, "content-type")
        if status in NO_BODY:  # it may tell the length of what it does not send
            self.headers = [item for item in self.headers if item[0] != "content-length"]
        elif rewriter is not None and is_event_stream(content_type):
            self.headers = event_stream_headers(self.headers)
            rewrites = rewriter
            # Of an error, whatever its type says, no end is known, and nobody waits for it.
            options = {"dialect": dialect, "errors": errors, "heartbeat": heartbeat} if status < 300 else {}
        elif body_rules is not None and is_json(content_type):
            self.headers = rewritten_headers(self.headers)
            rewrites = self._whole = _WholeJSON(body_rules, max_body)
        if rewrites is None or method == "HEAD":
            rewrites, options = _Unchanged(), {}
        else:
            chunks = decoded(chunks, _value(given, "content-encoding"))
            self.kind = "event stream" if self._whole is None else "json"
        self.stream = RewriteStream(
            chunks, rewrites, response=response, idle_timeout=idle_timeout, on_end=on_end, **options
        )

    async def begin(self, *, hold: float | None = None) -> None:
        """Wait for what tells whether this is an answer: the first event of a stream, ``hold`` seconds at most; all of
        a JSON body. Raises what the upstream failed with: nothing has been sent, so there is a status to choose yet.
        """
        if self.kind == "event stream":
            await self.stream.peek(timeout=hold)
        elif self.kind == "json" and self._whole is not None:
            await self.stream.peek()
            length = ("content-length", str(len(self._whole.rewritten)))
            if length not in self.headers:
                self.headers.append(length)

    @property
    def body(self) -> bytes:
        """A JSON body as it came, once `begin` has returned; else nothing."""
        return self._whole.body if self._whole is not None else b""


def _checked(status: int, headers: Headers) -> list[tuple[str, str]]:
    try:
        given = pairs(headers)
    except ValueError as error:
        raise SSEFastError(f"the upstream's response cannot be passed on: {error}") from None
    if not 200 <= status <= 599:
        raise SSEFastError(f"the upstream's response has the status {status}, which is none of HTTP's final ones")
    if (coding := _value(given, "transfer-encoding").lower()) not in ("", "chunked"):
        raise SSEFastError(f"the upstream's response has the transfer coding {coding!r}: nobody undoes it")
    for name, value in given:
        if _CONTROL.search(value):
            raise SSEFastError(f"the upstream's response has a control character in the header {name!r}")
    return given


def _value(headers: list[tuple[str, str]], name: str) -> str:
    return ",".join(value for each, value in headers if each == name)


class _Unchanged:
    def feed(self, data: bytes, /) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class _WholeJSON:
    def __init__(self, rules: Rules, limit: int) -> None:
        self.body = self.rewritten = b""
        self._rules = rules
        self._limit = limit
        self._held = bytearray()

    @property
    def at_boundary(self) -> bool:
        """What is held is a part of it: more of that is no silence."""
        return not self._held

    def feed(self, data: bytes, /) -> bytes:
        self._held += data
        if len(self._held) > self._limit:
            raise RefusalError(502, f"the upstream's answer is larger than {self._limit} bytes")
        return b""

    def finish(self) -> bytes:
        self.body, self._held = bytes(self._held), bytearray()
        self.rewritten = self._rules.rewrite_json(self.body)
        return self.rewritten
