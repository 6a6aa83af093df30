"""A transport for httpx, so that any SDK on it gets rewritten streams.

>>> import httpx
>>> from sse_fast import Set
>>> from sse_fast.httpx import RewriteTransport
>>> client = httpx.AsyncClient(transport=RewriteTransport([Set("$.model", "alias")]))

`RewriteTransport` serves httpx and its continuation httpx2, whichever a request comes from; "httpx" means either here.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from sse_fast._rust import Rewriter
from sse_fast.aio import Dialect, RewriteStream, StreamReport, rewrite_iter
from sse_fast.aio.source import Source
from sse_fast.aio.sync import RewriteIterator
from sse_fast.choice import chooser
from sse_fast.encoding import CODINGS, decoded, decoded_iter
from sse_fast.errors import EncodingError, IdleTimeoutError, InvalidEventError, TruncatedError
from sse_fast.http import OF_THE_BYTES, is_event_stream, is_json
from sse_fast.rules import Rule, Rules

__all__ = ["RewriteTransport"]


def _installed() -> tuple[ModuleType, ...]:
    found = []
    for name in ("httpx", "httpx2"):
        try:
            found.append(import_module(name))
        except ModuleNotFoundError as error:
            if error.name != name:  # it is there, and broken
                raise
    if not found:
        raise ImportError("sse_fast.httpx needs httpx or httpx2: pip install httpx")
    return tuple(dict.fromkeys(found))  # httpx2 may have taken httpx's name


_LIBRARIES = _installed()

# Clients insist on streams of their own library's classes.
if TYPE_CHECKING:
    import httpx
    import httpx2

    class _Transport(  # type: ignore[misc]
        httpx.AsyncBaseTransport, httpx.BaseTransport, httpx2.AsyncBaseTransport, httpx2.BaseTransport
    ): ...

    class _AsyncByteStream(httpx.AsyncByteStream, httpx2.AsyncByteStream): ...

    class _SyncByteStream(httpx.SyncByteStream, httpx2.SyncByteStream): ...

else:

    def _union(*names: str) -> type:
        return type(names[0], tuple(getattr(library, name) for library in _LIBRARIES for name in names), {})

    _Transport = _union("AsyncBaseTransport", "BaseTransport")
    _AsyncByteStream = _union("AsyncByteStream")
    _SyncByteStream = _union("SyncByteStream")

# Of the library that the request is of.
Request: TypeAlias = Any
Response: TypeAlias = Any
RulesFor: TypeAlias = Rules | Iterable[Rule] | Callable[[Request], Rules | None]


class RewriteTransport(_Transport):
    """Rewrites the event streams, and on demand the JSON bodies, that a client of httpx gets.

    One instance serves ``httpx.AsyncClient`` (on asyncio) and ``httpx.Client``. ``transport`` does the sending and is
    opened and closed with this one; unless given it is an ``AsyncHTTPTransport()`` or ``HTTPTransport()``.

    ``rules`` are for event streams, ``body_rules`` for bodies that are one JSON text. Each is a `Rules`, an iterable of
    rules, or a function of the ``httpx.Request`` that returns a `Rules`, or None to leave the answer as it is.
    ``max_held``, ``on_invalid``, ``comments`` and ``empty_blocks`` are those of `sse_fast.Rewriter`; ``dialect``,
    ``errors``, ``idle_timeout`` (seconds; for ``AsyncClient`` alone) and ``on_end`` those of
    `sse_fast.aio.RewriteStream`.

    - A rewritten response loses the headers that describe its old bytes and keeps all others. A JSON body is read whole
      before the response is returned: at most ``max_body`` bytes, decoded.
    - An answer to HEAD, a 1xx, 204, 205, 206 or 304, and any other content type is returned as it came.
    - Compressed bodies are decoded. What cannot be decoded (br, zstd) is taken out of what the request accepts; the
      caller's request object stays as it is.
    - Errors are httpx's own and come after all whole events: those of ``transport`` unchanged; ``RemoteProtocolError``
      for `TruncatedError` and `InvalidEventError`, ``ReadTimeout`` for `IdleTimeoutError`, ``DecodingError`` for
      `EncodingError` and for a JSON body over ``max_body``. What a rule's function raises comes as it is.
    - Closing the response closes that of ``transport``, once, read or not.
    """

    def __init__(
        self,
        rules: RulesFor | None,
        *,
        body_rules: RulesFor | None = None,
        transport: Any = None,
        dialect: Dialect | Any = None,
        errors: Literal["raise", "event"] = "raise",
        idle_timeout: float | None = None,
        on_end: Callable[[StreamReport], object] | None = None,
        max_body: int = 16 << 20,
        max_held: int = 1 << 20,
        on_invalid: Literal["pass", "drop", "raise"] = "pass",
        comments: Literal["keep", "drop"] | str = "keep",
        empty_blocks: Literal["keep", "drop"] = "keep",
    ) -> None:
        if max_body < 0:
            raise ValueError(f"max_body must not be negative: {max_body}")
        if idle_timeout is not None and not idle_timeout > 0:
            raise ValueError(f"idle_timeout must be more than 0 seconds, not {idle_timeout!r}")
        self._rules = chooser("rules", rules)
        self._body_rules = chooser("body_rules", body_rules)
        self._given = transport
        self._made: dict[type, Any] = {}
        self._max_body = max_body
        self._idle_timeout = idle_timeout
        self._options: dict[str, Any] = {"dialect": dialect, "errors": errors, "on_end": on_end}
        self._policies: dict[str, Any] = {
            "max_held": max_held,
            "on_invalid": on_invalid,
            "comments": comments,
            "empty_blocks": empty_blocks,
        }
        # A mistake in these shows here, not with the first answer.
        rewrite_iter((), Rewriter((), **self._policies), errors=errors)

    async def handle_async_request(self, request: Request) -> Response:
        """Send a request of ``httpx.AsyncClient``; its response, rewritten where there are rules for it."""
        exchange = self._exchange(request)
        if self._given is None and exchange.library.AsyncHTTPTransport not in self._made:
            # It reads certificates, which takes a tenth of a second: the loop must not wait for that.
            await asyncio.to_thread(self._make, exchange.library.AsyncHTTPTransport)
        inner = self._inner(exchange.library.AsyncHTTPTransport, "handle_async_request")
        response = await inner.handle_async_request(exchange.outgoing())
        rules = exchange.rules_for(response)
        if rules is None:
            return response
        body = _Body(exchange.library, response)
        try:
            chunks = decoded(body, body.coding)
        except EncodingError as error:
            await Source(body).close()
            raise exchange.translated(error) from error
        if exchange.streams(response):
            options = self._options_for(response)
            stream = RewriteStream(chunks, self._rewriter(rules), idle_timeout=self._idle_timeout, **options)
            return exchange.stream_response(response, _AsyncStream(stream, exchange))
        source, content = Source(chunks), bytearray()
        try:
            async for piece in source.iterator:
                content += piece
                exchange.check_size(content, self._max_body)
        except EncodingError as error:
            raise exchange.translated(error) from error
        finally:
            await source.close()
        return exchange.body_response(response, rules.rewrite_json(content))

    def handle_request(self, request: Request) -> Response:
        """The same for ``httpx.Client``."""
        exchange = self._exchange(request)
        if self._idle_timeout is not None:
            raise ValueError("idle_timeout needs httpx.AsyncClient: give httpx.Client a timeout for each read instead")
        inner = self._inner(exchange.library.HTTPTransport, "handle_request")
        response = inner.handle_request(exchange.outgoing())
        rules = exchange.rules_for(response)
        if rules is None:
            return response
        body = _Body(exchange.library, response)
        try:
            chunks = decoded_iter(body, body.coding)
        except EncodingError as error:
            body.close()
            raise exchange.translated(error) from error
        if exchange.streams(response):
            stream = rewrite_iter(chunks, self._rewriter(rules), **self._options_for(response))
            return exchange.stream_response(response, _SyncStream(stream, exchange))
        content = bytearray()
        try:
            for piece in chunks:
                content += piece
                exchange.check_size(content, self._max_body)
        except EncodingError as error:
            raise exchange.translated(error) from error
        finally:
            chunks.close()
        return exchange.body_response(response, rules.rewrite_json(content))

    def _exchange(self, request: Request) -> "_Exchange":
        library = next((each for each in _LIBRARIES if isinstance(request, each.Request)), None)
        if library is None:
            raise TypeError(f"request is a {type(request).__name__}: it must be a Request of httpx or httpx2")
        return _Exchange(library, request, self._rules(request), self._body_rules(request))

    def _options_for(self, response: Response) -> dict[str, Any]:
        # Of an error, whatever its type says, no end is known: the client is to have its status.
        return self._options if response.is_success else {**self._options, "dialect": None, "errors": "raise"}

    def _rewriter(self, rules: Rules) -> Rewriter:
        return Rewriter(rules, **self._policies)

    def _make(self, kind: type) -> Any:
        return self._made.setdefault(kind, kind())  # the first of two threads wins, the other's is unused

    def _inner(self, default: type, method: str) -> Any:
        if self._given is None:
            return self._made.get(default) or self._make(default)
        if not hasattr(self._given, method):
            raise TypeError(f"transport is a {type(self._given).__name__}, which has no {method} for this client")
        return self._given

    def _inners(self, closer: str) -> list[Any]:
        inners = [*self._made.values()] if self._given is None else [self._given]
        return [inner for inner in inners if hasattr(inner, closer)]

    async def __aenter__(self) -> Self:
        for inner in self._inners("__aenter__"):
            await inner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        for inner in self._inners("__aexit__"):
            await inner.__aexit__(kind, error, traceback)

    async def aclose(self) -> None:
        """Close the inner transport."""
        for inner in self._inners("aclose"):
            await inner.aclose()

    def __enter__(self) -> Self:
        for inner in self._inners("__enter__"):
            inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        for inner in self._inners("__exit__"):
            inner.__exit__(kind, error, traceback)

    def close(self) -> None:
        """Close the inner transport."""
        for inner in self._inners("close"):
            inner.close()


# The upstream's faults: those that an SDK has to know as httpx's.
_FAULTS = (EncodingError, IdleTimeoutError, InvalidEventError, TruncatedError)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A request, its response and the rules for it, without I/O."""

    library: ModuleType
    request: Request
    rules: Rules | None
    body_rules: Rules | None

    def outgoing(self) -> Request:
        """The request to send: it accepts only what can be decoded."""
        accepts = self.request.headers.get("accept-encoding")
        if accepts is None or (self.rules is None and self.body_rules is None):
            return self.request
        items = accepts.split(",")
        decodable = [item.strip() for item in items if item.partition(";")[0].strip().lower() in (*CODINGS, "")]
        if len(decodable) == len(items):
            return self.request
        outgoing = copy.copy(self.request)  # as for pickle: without these three
        outgoing.headers = self.request.headers.copy()
        outgoing.stream, outgoing.extensions = self.request.stream, self.request.extensions
        outgoing.headers["accept-encoding"] = ", ".join(decodable) or "identity"
        return outgoing

    def rules_for(self, response: Response) -> Rules | None:
        """The rules for this response; None where it is to stay as it is."""
        # No body, or a slice of one.
        if self.request.method == "HEAD" or response.status_code in (204, 205, 206, 304) or response.is_informational:
            return None
        if self.streams(response):
            return self.rules
        return self.body_rules if is_json(response.headers.get("content-type")) else None

    def streams(self, response: Response) -> bool:
        return is_event_stream(response.headers.get("content-type"))

    def stream_response(self, response: Response, stream: "_AsyncStream | _SyncStream") -> Response:
        return self._response(response, stream, _headers(response))

    def body_response(self, response: Response, content: bytes) -> Response:
        headers = [item for item in _headers(response) if item[0].lower() != b"transfer-encoding"]
        headers.append((b"Content-Length", b"%d" % len(content)))
        # Response(content=...) would count as closed, and so never learn what time it took.
        return self._response(response, self.library.ByteStream(content), headers)

    def _response(self, response: Response, stream: Any, headers: list[tuple[bytes, bytes]]) -> Response:
        return self.library.Response(
            response.status_code, headers=headers, stream=stream, extensions=response.extensions
        )

    def check_size(self, content: bytearray, max_body: int) -> None:
        if len(content) > max_body:
            message = f"the json body is larger than max_body, {max_body} bytes: raise it or give no body_rules"
            raise self.library.DecodingError(message, request=self.request)

    def translated(self, error: Exception) -> Exception:
        """One of `_FAULTS` as httpx says it."""
        if isinstance(error, EncodingError):
            kind = self.library.DecodingError
        elif isinstance(error, IdleTimeoutError):
            kind = self.library.ReadTimeout
        else:
            kind = self.library.RemoteProtocolError
        translation: Exception = kind(str(error), request=self.request)
        return translation


def _headers(response: Response) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in response.headers.raw if name.lower().decode("latin-1") not in OF_THE_BYTES]


class _Body:
    """The bytes of a response as they came, and ``coding``, their content-encoding; closed with the response."""

    def __init__(self, library: ModuleType, response: Response) -> None:
        self._response = response
        self._stream = response.stream
        self.coding: str | None = response.headers.get("content-encoding")
        if response.is_stream_consumed and not isinstance(self._stream, library.ByteStream):
            # A transport further in, a logger perhaps, has read it: the response has the bytes, decoded.
            self._stream, self.coding = library.ByteStream(response.content), None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        await self._response.aclose()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        self._response.close()


class _AsyncStream(_AsyncByteStream):
    # No generator: SDKs take up a stream again that they left in the middle, to read its connection empty.

    def __init__(self, stream: RewriteStream, exchange: _Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._stream)
        except _FAULTS as error:
            raise self._exchange.translated(error) from error

    async def aclose(self) -> None:
        await self._stream.aclose()


class _SyncStream(_SyncByteStream):
    def __init__(self, stream: RewriteIterator, exchange: _Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._stream)
        except _FAULTS as error:
            raise self._exchange.translated(error) from error

    def close(self) -> None:
        self._stream.close()
