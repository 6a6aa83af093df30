"""`RewriteTransport` in both clients of httpx and httpx2: over scripted transports, over sockets and under an SDK."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import json
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("httpx")

from sse_fast import Capture, InvalidEventError, Replace, Rules, Transform
from sse_fast.aio import StreamReport
from sse_fast.errors import EncodingError, IdleTimeoutError, TruncatedError
from sse_fast.httpx import RewriteTransport

URL = "http://upstream.test/v1"
MASK = Replace("$.model", "alias")
RULES = Rules([MASK, Capture("id", "$.id")])
ONE, TWO = b'data: {"id":1,"model":"x"}\n\n', b'data: {"id":2,"model":"x"}\n\n'
ONE_MASKED, TWO_MASKED = ONE.replace(b'"x"', b'"alias"'), TWO.replace(b'"x"', b'"alias"')
BODY, BODY_MASKED = b'{"model": "x", "n": 1.0}', b'{"model": "alias", "n": 1.0}'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Received:
    response: Any
    chunks: list[bytes] = field(default_factory=list)
    error: Exception | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


class Kit:
    """One library, one kind of client."""

    def __init__(self, library: ModuleType, is_async: bool) -> None:
        self.library = library
        self.is_async = is_async

    @asynccontextmanager
    async def client(self, transport: Any, **options: Any) -> AsyncIterator[Any]:
        if self.is_async:
            async with self.library.AsyncClient(transport=transport, **options) as client:
                yield client
        else:
            with self.library.Client(transport=transport, **options) as client:
                yield client

    async def send(self, client: Any, method: str = "GET", url: str = URL, **options: Any) -> Any:
        """A response whose body is unread."""
        request = client.build_request(method, url, **options)
        return await client.send(request, stream=True) if self.is_async else client.send(request, stream=True)

    async def chunks(self, response: Any, how: str = "iter_raw") -> AsyncIterator[Any]:
        if self.is_async:
            async for chunk in getattr(response, f"a{how}")():
                yield chunk
        else:
            for chunk in getattr(response, how)():
                yield chunk

    async def close(self, response: Any) -> None:
        await response.aclose() if self.is_async else response.close()

    async def read(self, response: Any) -> Received:
        """All that comes of the body, and the error that ends it."""
        received = Received(response)
        try:
            async for chunk in self.chunks(response):
                received.chunks.append(chunk)
        except Exception as error:
            received.error = error
        await self.close(response)
        return received

    async def get(self, transport: Any, method: str = "GET", url: str = URL, **options: Any) -> Received:
        async with self.client(transport) as client:
            return await self.read(await self.send(client, method, url, **options))


@pytest.fixture(params=["httpx async", "httpx sync", "httpx2 async", "httpx2 sync"])
def kit(request: pytest.FixtureRequest) -> Kit:
    library, kind = request.param.split()
    return Kit(pytest.importorskip(library), kind == "async")


class Inner:
    """A transport that gives one response, to be read once, and keeps book."""

    def __init__(
        self,
        library: ModuleType,
        chunks: Iterable[bytes],
        content_type: str | None = "text/event-stream",
        *,
        status: int = 200,
        headers: Iterable[tuple[str, str]] = (),
        error: Exception | None = None,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        self.requests: list[Any] = []
        self.calls: list[str] = []
        self.body = self._body(library, iter(chunks), error)
        typed = [("Content-Type", content_type)] if content_type else []
        self.response = library.Response(
            status, headers=[*typed, *headers], stream=self.body, extensions=extensions or {}
        )

    @staticmethod
    def _body(library: ModuleType, chunks: Iterator[bytes], error: Exception | None) -> Any:
        class Body(library.AsyncByteStream, library.SyncByteStream):
            closed = 0
            read = 0

            def __iter__(self) -> Iterator[bytes]:
                for chunk in chunks:
                    self.read += 1
                    yield chunk
                if error is not None:
                    raise error

            async def __aiter__(self) -> AsyncIterator[bytes]:
                for chunk in self:
                    await asyncio.sleep(0)
                    yield chunk

            def close(self) -> None:
                self.closed += 1

            async def aclose(self) -> None:
                await asyncio.sleep(0)
                self.close()

        return Body()

    def handle_request(self, request: Any) -> Any:
        self.requests.append(request)
        return self.response

    async def handle_async_request(self, request: Any) -> Any:
        return self.handle_request(request)

    def __enter__(self) -> None:
        self.calls.append("enter")

    def __exit__(self, *error: object) -> None:
        self.calls.append("exit")

    def close(self) -> None:
        self.calls.append("close")

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__()

    async def aclose(self) -> None:
        self.close()


# Event streams


@pytest.mark.anyio
async def test_an_event_stream_is_rewritten_whatever_its_cuts(kit: Kit) -> None:
    stream = ONE + TWO + b"data: [DONE]\n\n"
    inner = Inner(kit.library, [stream[:7], stream[7:40], stream[40:]])
    received = await kit.get(RewriteTransport(RULES, transport=inner))
    assert received.body == ONE_MASKED + TWO_MASKED + b"data: [DONE]\n\n"
    assert inner.body.closed == 1


@pytest.mark.anyio
@pytest.mark.parametrize("status", [200, 400, 503])
@pytest.mark.parametrize("content_type", ["text/event-stream; charset=utf-8", "Text/Event-Stream"])
async def test_any_status_and_any_spelling_of_the_type(kit: Kit, status: int, content_type: str) -> None:
    inner = Inner(kit.library, [ONE], content_type, status=status)
    received = await kit.get(RewriteTransport([MASK], transport=inner))
    assert (received.response.status_code, received.body) == (status, ONE_MASKED)


@pytest.mark.anyio
async def test_headers_lose_what_described_the_old_bytes_and_nothing_else(kit: Kit) -> None:
    kept = [
        ("Transfer-Encoding", "chunked"),
        ("Cache-Control", "no-store"),
        ("X-Request-Id", "r1"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
    ]
    stale = [("Content-Length", "26"), ("ETag", '"e"'), ("Content-MD5", "x"), ("Last-Modified", "y"), ("Digest", "z")]
    inner = Inner(kit.library, [ONE], headers=[*stale, *kept])
    received = await kit.get(RewriteTransport(RULES, transport=inner))
    wire = [(name.decode(), value.decode()) for name, value in received.response.headers.raw]
    assert wire == [("Content-Type", "text/event-stream"), *kept]


@pytest.mark.anyio
async def test_a_response_keeps_its_extensions(kit: Kit) -> None:
    stream = object()
    extensions = {"http_version": b"HTTP/2", "reason_phrase": b"Fine", "network_stream": stream}
    received = await kit.get(RewriteTransport(RULES, transport=Inner(kit.library, [ONE], extensions=extensions)))
    response = received.response
    assert (response.http_version, response.reason_phrase) == ("HTTP/2", "Fine")
    assert response.extensions["network_stream"] is stream


@pytest.mark.anyio
async def test_all_of_the_response_works(kit: Kit) -> None:
    inner = Inner(kit.library, [ONE, TWO])
    async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
        response = await kit.send(client)
        lines = [line async for line in kit.chunks(response, "iter_lines")]
        assert lines == (ONE_MASKED + TWO_MASKED).decode().splitlines()
        assert response.num_bytes_downloaded == len(ONE_MASKED + TWO_MASKED)
        assert response.elapsed.total_seconds() > 0
        assert response.is_closed
        assert response.request.url == URL
        inner.response = Inner(kit.library, [ONE, TWO]).response
        response = await client.get(URL) if kit.is_async else client.get(URL)
        assert response.text == (ONE_MASKED + TWO_MASKED).decode()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "status", "content_type"),
    [
        ("HEAD", 200, "text/event-stream"),
        ("HEAD", 200, "application/json"),
        ("GET", 101, "text/event-stream"),
        ("GET", 204, "text/event-stream"),
        ("GET", 205, "application/json"),
        ("GET", 206, "text/event-stream"),
        ("GET", 206, "application/json"),
        ("GET", 304, "application/json"),
        ("GET", 200, "text/plain"),
        ("GET", 200, "application/x-ndjson"),
        ("GET", 200, None),
    ],
)
async def test_other_responses_stay_the_very_object(kit: Kit, method: str, status: int, content_type: str) -> None:
    headers = [("Content-Encoding", "br"), ("ETag", "e")]
    inner = Inner(kit.library, [ONE], content_type, status=status, headers=headers)
    received = await kit.get(RewriteTransport(RULES, body_rules=RULES, transport=inner), method)
    assert received.response is inner.response
    assert received.response.headers["etag"] == "e"
    assert (received.body, inner.body.closed) == (ONE, 1)


@pytest.mark.anyio
async def test_a_function_chooses_rules_by_request(kit: Kit) -> None:
    inner = Inner(kit.library, [ONE])
    transport = RewriteTransport(lambda request: RULES if request.url.path == "/v1" else None, transport=inner)
    assert (await kit.get(transport)).body == ONE_MASKED
    inner.response = Inner(kit.library, [ONE]).response
    received = await kit.get(transport, url="http://upstream.test/v2", headers={"accept-encoding": "br, gzip"})
    assert received.response is inner.response
    assert received.body == ONE
    assert inner.requests[-1] is received.response.request
    assert inner.requests[-1].headers["accept-encoding"] == "br, gzip"


@pytest.mark.anyio
async def test_a_function_that_returns_no_rules_is_told_before_anything_is_sent(kit: Kit) -> None:
    inner = Inner(kit.library, [ONE])
    with pytest.raises(TypeError, match="returned a list: it must return Rules or None"):
        await kit.get(RewriteTransport(lambda request: [MASK], transport=inner))  # type: ignore[arg-type,return-value]
    assert inner.requests == []


@pytest.mark.anyio
async def test_policies_reach_the_rewriter(kit: Kit) -> None:
    inner = Inner(kit.library, [b": hello\n\n", b"event: ping\n\n", b"data: no json\n\n", ONE])
    policies: dict[str, Any] = {"comments": "drop", "empty_blocks": "drop", "on_invalid": "drop"}
    assert (await kit.get(RewriteTransport(RULES, transport=inner, **policies))).body == ONE_MASKED


# JSON bodies


@pytest.mark.anyio
@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("content_type", ["application/json", "application/problem+json; charset=utf-8"])
async def test_a_json_body_takes_body_rules(kit: Kit, status: int, content_type: str) -> None:
    headers = [("Transfer-Encoding", "chunked"), ("ETag", "e"), ("X-Request-Id", "r1")]
    inner = Inner(kit.library, [BODY[:5], BODY[5:]], content_type, status=status, headers=headers)
    received = await kit.get(RewriteTransport(None, body_rules=[MASK], transport=inner))
    assert (received.response.status_code, received.body) == (status, BODY_MASKED)
    assert dict(received.response.headers) == {
        "content-type": content_type,
        "x-request-id": "r1",
        "content-length": str(len(BODY_MASKED)),
    }
    assert received.response.elapsed.total_seconds() > 0
    assert inner.body.closed == 1


@pytest.mark.anyio
async def test_a_json_body_without_body_rules_stays_the_very_object(kit: Kit) -> None:
    inner = Inner(kit.library, [BODY], "application/json")
    received = await kit.get(RewriteTransport(RULES, transport=inner))
    assert received.response is inner.response
    assert received.body == BODY


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"", b"{", b"<html>"])
async def test_a_body_that_is_no_json_passes_with_its_status(kit: Kit, body: bytes) -> None:
    inner = Inner(kit.library, [body], "application/json", status=502)
    received = await kit.get(RewriteTransport(RULES, body_rules=RULES, transport=inner))
    assert (received.response.status_code, received.body) == (502, body)


@pytest.mark.anyio
async def test_a_json_body_may_have_max_body_bytes(kit: Kit) -> None:
    inner = Inner(kit.library, [BODY[:9], BODY[9:]], "application/json")
    transport = RewriteTransport(RULES, body_rules=RULES, transport=inner, max_body=len(BODY))
    assert (await kit.get(transport)).body == BODY_MASKED


@pytest.mark.anyio
async def test_a_larger_json_body_is_an_error_and_read_no_further(kit: Kit) -> None:
    inner = Inner(kit.library, [BODY] * 9, "application/json")
    transport = RewriteTransport(RULES, body_rules=RULES, transport=inner, max_body=len(BODY))
    with pytest.raises(kit.library.DecodingError, match="larger than max_body, 24 bytes") as raised:
        await kit.get(transport)
    assert raised.value.request.url == URL
    assert (inner.body.read, inner.body.closed) == (2, 1)


@pytest.mark.anyio
async def test_an_error_in_a_json_body_comes_as_it_is(kit: Kit) -> None:
    error = kit.library.ReadError("gone")
    inner = Inner(kit.library, [BODY[:5]], "application/json", error=error)
    with pytest.raises(kit.library.ReadError) as raised:
        await kit.get(RewriteTransport(RULES, body_rules=RULES, transport=inner))
    assert raised.value is error
    assert inner.body.closed == 1


def _refuses(value: object) -> object:
    raise LookupError(value)


@pytest.mark.anyio
async def test_what_the_function_of_a_rule_raises_comes_as_it_is(kit: Kit) -> None:
    rules = Rules([Transform("$.model", _refuses)])
    inner = Inner(kit.library, [BODY], "application/json")
    with pytest.raises(LookupError):
        await kit.get(RewriteTransport(rules, body_rules=rules, transport=inner))
    assert inner.body.closed == 1
    inner = Inner(kit.library, [b"data: 1\n\n", ONE])
    received = await kit.get(RewriteTransport(rules, transport=inner))
    assert received.body == b"data: 1\n\n"
    assert type(received.error) is LookupError
    assert inner.body.closed == 1


# Compression


def _deflated(data: bytes) -> bytes:
    raw = zlib.compressobj(wbits=-15)
    return raw.compress(data) + raw.flush()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("gzip", gzip.compress),
        ("X-GZip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", _deflated),
        ("identity", bytes),
        ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
    ],
)
async def test_a_compressed_body_is_decoded(kit: Kit, coding: str, encode: Callable[[bytes], bytes]) -> None:
    for content_type, plain, masked in (
        ("text/event-stream", ONE + TWO, ONE_MASKED + TWO_MASKED),
        ("application/json", BODY, BODY_MASKED),
    ):
        data = encode(plain)
        chunks = [data[at : at + 7] for at in range(0, len(data), 7)]
        inner = Inner(kit.library, chunks, content_type, headers=[("Content-Encoding", coding)])
        received = await kit.get(RewriteTransport(RULES, body_rules=RULES, transport=inner))
        assert received.body == masked
        assert "content-encoding" not in received.response.headers
        assert inner.body.closed == 1


@pytest.mark.anyio
async def test_events_of_a_compressed_stream_leave_when_they_are_flushed(kit: Kit) -> None:
    packer = zlib.compressobj(wbits=31)
    chunks = [packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH) for event in (ONE, TWO)] + [packer.flush()]
    inner = Inner(kit.library, chunks, headers=[("Content-Encoding", "gzip")])
    assert (await kit.get(RewriteTransport(RULES, transport=inner))).chunks == [ONE_MASKED, TWO_MASKED]


@pytest.mark.anyio
@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br"])
async def test_a_coding_that_cannot_be_decoded_is_refused_unread(kit: Kit, content_type: str, coding: str) -> None:
    inner = Inner(kit.library, [b"\x1b"], content_type, headers=[("Content-Encoding", coding)])
    with pytest.raises(kit.library.DecodingError, match=r"'(br|zstd)' cannot be decoded") as raised:
        await kit.get(RewriteTransport(RULES, body_rules=RULES, transport=inner))
    assert isinstance(raised.value.__cause__, EncodingError)
    assert raised.value.request.url == URL
    assert (inner.body.read, inner.body.closed) == (0, 1)


@pytest.mark.anyio
async def test_broken_compression_is_a_decoding_error_after_all_whole_events(kit: Kit) -> None:
    packer = zlib.compressobj(wbits=31)
    flushed = packer.compress(ONE + TWO[:9]) + packer.flush(zlib.Z_SYNC_FLUSH)
    for chunks in ([flushed], [flushed, b"\xff" * 9]):  # cut, broken
        inner = Inner(kit.library, chunks, headers=[("Content-Encoding", "gzip")])
        received = await kit.get(RewriteTransport(RULES, transport=inner))
        assert received.chunks == [ONE_MASKED]
        assert type(received.error) is kit.library.DecodingError
        assert isinstance(received.error.__cause__, EncodingError)
    inner = Inner(kit.library, [gzip.compress(BODY)[:-9]], "application/json", headers=[("Content-Encoding", "gzip")])
    with pytest.raises(kit.library.DecodingError):
        await kit.get(RewriteTransport(RULES, body_rules=RULES, transport=inner))
    assert inner.body.closed == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("gzip, deflate, br, zstd", "gzip, deflate"),
        ("br;q=1.0, GZIP;q=0.8, *;q=0.1", "GZIP;q=0.8"),
        ("br", "identity"),
        ("*", "identity"),
        ("gzip,deflate", "gzip,deflate"),
        ("gzip;q=0, identity", "gzip;q=0, identity"),
        ("", ""),
    ],
)
async def test_only_what_can_be_decoded_is_asked_for(kit: Kit, asked: str, sent: str) -> None:
    inner = Inner(kit.library, [ONE])
    options: dict[str, Any] = {"headers": {"accept-encoding": asked, "x-a": "1"}, "content": b"hello"}
    received = await kit.get(RewriteTransport(RULES, transport=inner), "POST", **options)
    (request,) = inner.requests
    assert request.headers["accept-encoding"] == sent
    assert (request.method, request.url, request.content, request.headers["x-a"]) == ("POST", URL, b"hello", "1")
    assert request.headers["content-length"] == "5"
    assert request.extensions["timeout"] == received.response.request.extensions["timeout"]
    # What the caller made stays as it was.
    assert received.response.request.headers["accept-encoding"] == asked
    assert (request is received.response.request) == (asked == sent)


@pytest.mark.anyio
async def test_a_request_that_accepts_nothing_in_particular_is_sent_as_it_is(kit: Kit) -> None:
    inner = Inner(kit.library, [ONE])
    async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
        del client.headers["accept-encoding"]
        response = await kit.send(client)
        await kit.close(response)
    assert "accept-encoding" not in inner.requests[0].headers


@pytest.mark.anyio
async def test_the_body_of_a_request_can_be_a_stream(kit: Kit) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"he"
        yield b"llo"

    class Reads(Inner):
        def handle_request(self, request: Any) -> Any:
            assert request.read() == b"hello"
            return super().handle_request(request)

        async def handle_async_request(self, request: Any) -> Any:
            assert await request.aread() == b"hello"
            return super().handle_request(request)

    content = parts() if kit.is_async else iter([b"he", b"llo"])
    headers = {"accept-encoding": "br"}
    transport = RewriteTransport(RULES, transport=Reads(kit.library, [ONE]))
    assert (await kit.get(transport, "POST", content=content, headers=headers)).body == ONE_MASKED


# Inner transports that read the body themselves


@pytest.mark.anyio
@pytest.mark.parametrize("coding", ["identity", "gzip", "x-gzip"])
async def test_a_mock_transport(kit: Kit, coding: str) -> None:
    def answer(request: Any) -> Any:
        headers = {"content-type": "text/event-stream", "content-encoding": coding}
        return kit.library.Response(200, headers=headers, content=gzip.compress(ONE) if "gzip" in coding else ONE)

    received = await kit.get(RewriteTransport(RULES, transport=kit.library.MockTransport(answer)))
    assert received.body == ONE_MASKED


@pytest.mark.anyio
@pytest.mark.parametrize("packed", [False, True])
async def test_a_transport_further_in_may_have_read_the_body(kit: Kit, packed: bool) -> None:
    class Logs(Inner):
        def handle_request(self, request: Any) -> Any:
            response = super().handle_request(request)
            response.read()
            return response

        async def handle_async_request(self, request: Any) -> Any:
            response = super().handle_request(request)
            await response.aread()
            return response

    for content_type, plain, masked in (
        ("text/event-stream", ONE, ONE_MASKED),
        ("application/json", BODY, BODY_MASKED),
    ):
        headers = [("Content-Encoding", "gzip")] if packed else []
        inner = Logs(kit.library, [gzip.compress(plain) if packed else plain], content_type, headers=headers)
        received = await kit.get(RewriteTransport(RULES, body_rules=RULES, transport=inner))
        assert received.body == masked
        assert inner.body.closed == 1


# Errors


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["ReadError", "RemoteProtocolError", "ReadTimeout"])
async def test_an_error_of_the_inner_stream_is_the_very_same_after_all_whole_events(kit: Kit, name: str) -> None:
    error = getattr(kit.library, name)("gone")
    reports: list[StreamReport] = []
    inner = Inner(kit.library, [ONE + TWO[:9]], error=error)
    received = await kit.get(RewriteTransport(RULES, transport=inner, on_end=reports.append))
    assert received.chunks == [ONE_MASKED]
    assert received.error is error
    assert received.error.request is received.response.request
    assert [(report.outcome, report.error) for report in reports] == [("upstream_error", error)]
    assert inner.body.closed == 1


@pytest.mark.anyio
async def test_a_cut_stream_is_a_remote_protocol_error(kit: Kit) -> None:
    reports: list[StreamReport] = []
    inner = Inner(kit.library, [ONE + TWO[:-9]])
    received = await kit.get(RewriteTransport(RULES, transport=inner, on_end=reports.append))
    assert received.chunks == [ONE_MASKED]
    assert type(received.error) is kit.library.RemoteProtocolError
    assert isinstance(received.error.__cause__, TruncatedError)
    assert str(received.error) == str(received.error.__cause__)
    assert received.error.request is received.response.request
    assert [report.outcome for report in reports] == ["truncated"]
    assert inner.body.closed == 1


@pytest.mark.anyio
async def test_a_dialect_says_what_ends_a_stream_and_how_errors_look(kit: Kit) -> None:
    dialect = SimpleNamespace(
        is_terminal=lambda report: report.stats.done, error_event=lambda error, report: b"data: sorry\n\n"
    )
    whole = [ONE, b"data: [DONE]\n\n"]
    transport = RewriteTransport(RULES, transport=Inner(kit.library, whole), dialect=dialect)
    received = await kit.get(transport)
    assert (received.chunks, received.error) == ([ONE_MASKED, b"data: [DONE]\n\n"], None)
    transport = RewriteTransport(RULES, transport=Inner(kit.library, [ONE]), dialect=dialect)
    received = await kit.get(transport)
    assert (received.chunks, type(received.error)) == ([ONE_MASKED], kit.library.RemoteProtocolError)
    transport = RewriteTransport(RULES, transport=Inner(kit.library, [ONE]), dialect=dialect, errors="event")
    received = await kit.get(transport)
    assert (received.body, received.error) == (ONE_MASKED + b"data: sorry\n\n", None)


@pytest.mark.anyio
async def test_an_invalid_event_is_a_remote_protocol_error_where_asked(kit: Kit) -> None:
    inner = Inner(kit.library, [ONE + b"data: no json\n\n" + TWO])
    received = await kit.get(RewriteTransport(RULES, transport=inner, on_invalid="raise"))
    assert received.chunks == [ONE_MASKED]
    assert type(received.error) is kit.library.RemoteProtocolError
    assert isinstance(received.error.__cause__, InvalidEventError)


@pytest.mark.anyio
async def test_idle_timeout_is_a_read_timeout(kit: Kit) -> None:
    if not kit.is_async:
        inner = Inner(kit.library, [ONE])
        with pytest.raises(ValueError, match=r"idle_timeout needs httpx\.AsyncClient"):
            await kit.get(RewriteTransport(RULES, transport=inner, idle_timeout=1.0))
        assert inner.requests == []
        return

    class Hangs(kit.library.AsyncByteStream):  # type: ignore[name-defined,misc]
        closed = 0

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield ONE
            for _ in range(3000):
                await asyncio.sleep(0.001)
                yield b": still here\n\n"

        async def aclose(self) -> None:
            self.closed += 1

    inner = Inner(kit.library, [])
    inner.response.stream = stream = Hangs()
    received = await kit.get(RewriteTransport(RULES, transport=inner, idle_timeout=0.05, comments="drop"))
    assert received.chunks == [ONE_MASKED]
    assert type(received.error) is kit.library.ReadTimeout
    assert isinstance(received.error.__cause__, IdleTimeoutError)
    assert stream.closed == 1


@pytest.mark.anyio
async def test_an_error_before_the_response_comes_as_it_is(kit: Kit) -> None:
    error = kit.library.ConnectError("refused")

    def answer(request: Any) -> Any:
        raise error

    with pytest.raises(kit.library.ConnectError) as raised:
        await kit.get(RewriteTransport(RULES, transport=kit.library.MockTransport(answer)))
    assert raised.value is error


# Closing


@pytest.mark.anyio
@pytest.mark.parametrize("read", [0, 1, 2])
async def test_closing_closes_the_inner_response_once(kit: Kit, read: int) -> None:
    reports: list[StreamReport] = []
    inner = Inner(kit.library, [ONE, TWO, b"data: [DONE]\n\n"])
    async with kit.client(RewriteTransport(RULES, transport=inner, on_end=reports.append)) as client:
        response = await kit.send(client)
        chunks = kit.chunks(response)
        for _ in range(read):
            await anext(chunks)
        assert (inner.body.closed, reports) == (0, [])
        await kit.close(response)
        await chunks.aclose()
        await kit.close(response)
    assert inner.body.closed == 1
    assert [report.outcome for report in reports] == ["cancelled"]
    assert reports[0].captured["id"] == (read or None)


@pytest.mark.anyio
async def test_a_whole_stream_is_reported_once(kit: Kit) -> None:
    reports: list[StreamReport] = []
    inner = Inner(kit.library, [ONE, TWO])
    await kit.get(RewriteTransport(RULES, transport=inner, on_end=reports.append))
    assert [(report.outcome, report.captured["id"]) for report in reports] == [("completed", 2)]


@pytest.mark.anyio
async def test_a_stream_can_be_taken_up_again(kit: Kit) -> None:
    # As openai's SDK does after [DONE], to leave a connection that can be used again.
    inner = Inner(kit.library, [ONE, TWO, b"data: [DONE]\n\n"])
    async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
        response = await kit.send(client)
        chunks = kit.chunks(response)
        assert await anext(chunks) == ONE_MASKED
        rest = [chunk async for chunk in response.stream] if kit.is_async else list(response.stream)
        assert rest == [TWO_MASKED, b"data: [DONE]\n\n"]
        await kit.close(response)
        await chunks.aclose()
    assert inner.body.closed == 1


@pytest.mark.anyio
async def test_the_inner_transport_is_opened_and_closed_with_this_one(kit: Kit) -> None:
    inner = Inner(kit.library, [ONE])
    transport = RewriteTransport(RULES, transport=inner)
    await kit.get(transport)
    assert inner.calls == ["enter", "exit"]
    await transport.aclose() if kit.is_async else transport.close()
    assert inner.calls == ["enter", "exit", "close"]


# Errors of use


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"errors": "ignore"}, ValueError, "errors must be 'raise' or 'event'"),
        ({"max_body": -1}, ValueError, "max_body must not be negative: -1"),
        ({"idle_timeout": 0}, ValueError, "idle_timeout must be more than 0 seconds"),
        ({"max_held": 0}, ValueError, "max_held"),
        ({"on_invalid": "ignore"}, ValueError, "on_invalid"),
    ],
)
def test_a_mistake_shows_where_the_transport_is_made(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RewriteTransport(RULES, **options)


@pytest.mark.anyio
async def test_a_transport_of_the_other_kind_is_told(kit: Kit) -> None:
    other = kit.library.HTTPTransport() if kit.is_async else kit.library.AsyncHTTPTransport()
    with pytest.raises(TypeError, match=r"HTTPTransport, which has no handle_(async_)?request for this client"):
        await kit.get(RewriteTransport(RULES, transport=other))


def test_a_request_of_another_library_is_told() -> None:
    with pytest.raises(TypeError, match="request is a str: it must be a Request of httpx or httpx2"):
        RewriteTransport(RULES).handle_request("GET /")


def _python(*lines: str) -> str:
    ran = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60)
    return ran.stdout + ran.stderr


def test_without_a_library_the_import_says_what_is_missing() -> None:
    hidden = "import sys; sys.modules['httpx'] = sys.modules['httpx2'] = None"
    output = _python(hidden, "import sse_fast.httpx")
    assert output.rstrip().endswith("ImportError: sse_fast.httpx needs httpx or httpx2: pip install httpx")


def test_a_library_that_is_there_and_broken_is_told_as_it_is() -> None:
    output = _python("import sys; sys.modules['idna'] = None", "import sse_fast.httpx")
    assert "ModuleNotFoundError: import of idna halted" in output.rstrip().splitlines()[-1]


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_either_library_will_do(name: str) -> None:
    pytest.importorskip(name)
    other = {"httpx": "httpx2", "httpx2": "httpx"}[name]
    hidden = f"import sys; sys.modules[{other!r}] = None"
    made = f"import {name}, sse_fast.httpx; {name}.Client(transport=sse_fast.httpx.RewriteTransport([])); print('made')"
    assert _python(hidden, made) == "made\n"


def test_httpx2_may_take_the_name_of_httpx() -> None:
    if not hasattr(pytest.importorskip("httpx2"), "alias_httpx"):
        pytest.skip("this httpx2 knows no alias")
    made = "import httpx, sse_fast.httpx; httpx.Client(transport=sse_fast.httpx.RewriteTransport([])); print('made')"
    assert _python("import httpx2; httpx2.alias_httpx()", made) == "made\n"


# Sockets


HANG, RESET = object(), object()


class Upstream(socketserver.ThreadingTCPServer):
    """HTTP/1.1 by hand on loopback: answers each request with a script of chunks, HANG and RESET."""

    allow_reuse_address = True

    def __init__(self, *script: Any, content_type: str = "text/event-stream") -> None:
        self.script = script
        self.content_type = content_type
        self.connections = 0
        self.requests: list[bytes] = []
        self.left = threading.Event()
        """A client closed its connection in the middle of an answer."""
        self.sockets: list[socket.socket] = []
        super().__init__(("127.0.0.1", 0), _Connection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    @classmethod
    @contextmanager
    def running(cls, *script: Any, **options: Any) -> Iterator[Upstream]:
        with cls(*script, **options) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()
                for each in server.sockets:  # a test that failed has left them open
                    with suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)


class _Connection(socketserver.StreamRequestHandler):
    server: Upstream
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1
        self.server.sockets.append(self.connection)

    def handle(self) -> None:
        while self._answers_one():
            pass

    def _answers_one(self) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return False
            head += line
        length = next((int(line[15:]) for line in head.lower().splitlines() if line.startswith(b"content-length:")), 0)
        self.rfile.read(length)
        self.server.requests.append(head)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n")
        self.wfile.write(b"Content-Type: %s\r\n\r\n" % self.server.content_type.encode())
        for step in self.server.script:
            if step is HANG:
                with suppress(ConnectionError):
                    self.rfile.read(1)
                self.server.left.set()
                return False
            if step is RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Other handles keep the socket: shutdown sends nothing after a linger of 0, close must.
                self.wfile.close()
                self.rfile.close()
                self.connection.close()
                return False
            self.wfile.write(b"%x\r\n%s\r\n" % (len(step), step))
        self.wfile.write(b"0\r\n\r\n")
        return True


def _inner(kit: Kit, **options: Any) -> Any:
    return kit.library.AsyncHTTPTransport(**options) if kit.is_async else kit.library.HTTPTransport(**options)


@pytest.mark.anyio
async def test_a_connection_is_used_again_after_a_whole_stream(kit: Kit) -> None:
    with Upstream.running(ONE, TWO) as upstream:
        async with kit.client(RewriteTransport(RULES), trust_env=False) as client:
            for _ in range(3):
                response = await kit.send(client, url=upstream.url)
                assert [chunk async for chunk in kit.chunks(response)]
    assert (len(upstream.requests), upstream.connections) == (3, 1)
    assert b"br" not in upstream.requests[0].lower().partition(b"accept-encoding:")[2].partition(b"\r\n")[0]


@pytest.mark.anyio
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_the_loop_is_not_blocked(library: str) -> None:
    blockbuster = pytest.importorskip("blockbuster")
    kit = Kit(pytest.importorskip(library), True)
    with Upstream.running(ONE, TWO) as upstream:
        transport = RewriteTransport(RULES)
        client = kit.library.AsyncClient(transport=transport)
        with blockbuster.blockbuster_ctx():
            for _ in range(2):
                assert (await client.get(upstream.url)).content == ONE_MASKED + TWO_MASKED
            await client.aclose()
    assert upstream.connections == 1


@pytest.mark.anyio
async def test_a_connection_is_used_again_after_a_json_body(kit: Kit) -> None:
    with Upstream.running(BODY, content_type="application/json") as upstream:
        async with kit.client(RewriteTransport(RULES, body_rules=RULES)) as client:
            for _ in range(3):
                response = await client.get(upstream.url) if kit.is_async else client.get(upstream.url)
                assert response.content == BODY_MASKED
    assert (len(upstream.requests), upstream.connections) == (3, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("read", [0, 1])
async def test_closing_in_the_middle_closes_the_connection(kit: Kit, read: int) -> None:
    with Upstream.running(ONE, HANG) as upstream:
        inner = _inner(kit)
        async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
            response = await kit.send(client, url=upstream.url)
            chunks = kit.chunks(response)
            for _ in range(read):
                assert await anext(chunks) == ONE_MASKED
            await kit.close(response)
            await chunks.aclose()
            assert inner._pool.connections == []
            assert await asyncio.to_thread(upstream.left.wait, 30)


@pytest.mark.anyio
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("script", [(ONE, HANG), (HANG,)])
@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
async def test_a_cancel_closes_the_connection(library: str, script: tuple[Any, ...], content_type: str) -> None:
    kit = Kit(pytest.importorskip(library), True)
    before = asyncio.all_tasks()
    with Upstream.running(*script, content_type=content_type) as upstream:
        inner = _inner(kit)
        async with kit.client(RewriteTransport(RULES, body_rules=RULES, transport=inner)) as client:
            task = asyncio.create_task(client.get(upstream.url))
            while not upstream.requests:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)  # most likely in the middle of the body by now; anywhere else is as good
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert inner._pool.connections == []
            assert await asyncio.to_thread(upstream.left.wait, 30)
    assert asyncio.all_tasks() == before


@pytest.mark.anyio
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_a_cancel_between_events_closes_the_connection(library: str) -> None:
    kit = Kit(pytest.importorskip(library), True)
    first = asyncio.Event()

    async def read(client: Any, url: str) -> None:
        async with client.stream("GET", url) as response:
            async for _ in response.aiter_lines():
                first.set()

    with Upstream.running(ONE, HANG) as upstream:
        inner = _inner(kit)
        async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
            task = asyncio.create_task(read(client, upstream.url))
            await first.wait()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert inner._pool.connections == []
            assert await asyncio.to_thread(upstream.left.wait, 30)


@pytest.mark.anyio
async def test_a_scope_of_anyio_can_cancel_a_read() -> None:
    anyio = pytest.importorskip("anyio")
    kit = Kit(importlib.import_module("httpx"), True)
    with Upstream.running(ONE, HANG) as upstream:
        inner = _inner(kit)
        async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
            with anyio.CancelScope() as scope:
                async with client.stream("GET", upstream.url) as response:
                    async for _ in response.aiter_raw():
                        asyncio.get_running_loop().call_later(0.01, scope.cancel)
            assert scope.cancelled_caught
            assert inner._pool.connections == []
            assert await asyncio.to_thread(upstream.left.wait, 30)


@pytest.mark.anyio
async def test_a_reset_comes_as_httpx_says_it(kit: Kit) -> None:
    with Upstream.running(ONE, TWO[:9], RESET) as upstream:
        inner = _inner(kit)
        received = await kit.get(RewriteTransport(RULES, transport=inner), url=upstream.url)
    assert received.body in (ONE_MASKED, b"")  # a reset may overtake what was sent before it
    assert isinstance(received.error, (kit.library.ReadError, kit.library.RemoteProtocolError))
    assert inner._pool.connections == []


@pytest.mark.anyio
async def test_the_timeout_of_a_read_comes_as_httpx_says_it(kit: Kit) -> None:
    with Upstream.running(ONE, HANG) as upstream:
        inner = _inner(kit)
        timeout = kit.library.Timeout(None, read=0.05)
        received = await kit.get(RewriteTransport(RULES, transport=inner), url=upstream.url, timeout=timeout)
    assert received.body == ONE_MASKED
    assert type(received.error) is kit.library.ReadTimeout
    assert inner._pool.connections == []


class Upstream2(Upstream):
    """HTTP/2 with prior knowledge; after HANG a stream stays open, RESET sends an RST_STREAM."""

    def __init__(self, *script: Any) -> None:
        super().__init__(*script)
        self.RequestHandlerClass = _Connection2


class _Connection2(_Connection):
    def handle(self) -> None:
        h2 = importlib.import_module("h2.connection")
        events = importlib.import_module("h2.events")
        config = importlib.import_module("h2.config").H2Configuration(client_side=False)
        state = h2.H2Connection(config)
        state.initiate_connection()
        self.connection.sendall(state.data_to_send())
        while data := self.connection.recv(65536):
            for event in state.receive_data(data):
                if isinstance(event, events.RequestReceived):
                    self._answer(state, event.stream_id)
            self.connection.sendall(state.data_to_send())

    def _answer(self, state: Any, stream: int) -> None:
        self.server.requests.append(b"")
        state.send_headers(stream, [(":status", "200"), ("content-type", self.server.content_type)])
        for step in self.server.script:
            if step is HANG:
                return
            if step is RESET:
                state.reset_stream(stream, error_code=2)
                return
            state.send_data(stream, step)
        state.end_stream(stream)


@pytest.mark.anyio
async def test_http2(kit: Kit) -> None:
    pytest.importorskip("h2")
    inner = _inner(kit, http1=False, http2=True)
    with Upstream2.running(ONE, TWO) as upstream:
        async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
            response = await kit.send(client, url=upstream.url)
            assert b"".join([chunk async for chunk in kit.chunks(response)]) == ONE_MASKED + TWO_MASKED
            assert response.http_version == "HTTP/2"
            # Where a stream is left in the middle the connection goes on.
            upstream.script = (ONE, HANG)
            response = await kit.send(client, url=upstream.url)
            chunks = kit.chunks(response)
            assert await anext(chunks) == ONE_MASKED
            await kit.close(response)
            await chunks.aclose()
            upstream.script = (ONE, TWO[:9], RESET)
            received = await kit.read(await kit.send(client, url=upstream.url))
            assert received.body in (ONE_MASKED, b"")
            assert type(received.error) is kit.library.RemoteProtocolError
    assert upstream.connections == 1


# An SDK


def _chat_chunk(**delta: str) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "x-1", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "x-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
}


@dataclass
class SDK:
    """openai's client over a `RewriteTransport`."""

    kit: Kit
    url: str
    transport: RewriteTransport = field(default_factory=lambda: RewriteTransport([MASK], body_rules=[MASK]))

    async def create(self, **options: Any) -> tuple[list[Any], Exception | None]:
        """All that the SDK gives for one request of chat, and the error that ended it."""
        openai = pytest.importorskip("openai")
        arguments: dict[str, Any] = {"model": "alias", "messages": [{"role": "user", "content": "Hi"}], **options}
        settings = {"base_url": self.url, "api_key": "k", "max_retries": 0}
        given: list[Any] = []
        try:
            async with self.kit.client(self.transport) as client:
                if not self.kit.is_async:
                    answer = openai.OpenAI(http_client=client, **settings).chat.completions.create(**arguments)
                    given += answer if options.get("stream") else [answer]
                else:
                    sdk = openai.AsyncOpenAI(http_client=client, **settings)
                    answer = await sdk.chat.completions.create(**arguments)
                    if options.get("stream"):
                        async for chunk in answer:
                            given.append(chunk)
                    else:
                        given.append(answer)
        except openai.APIError as error:
            return given, error
        return given, None


@pytest.fixture
def sdk_kit(kit: Kit) -> Kit:
    openai = pytest.importorskip("openai")
    uses = getattr(openai.DefaultHttpxClient, "__mro__", [object])
    if kit.library.Client not in uses and kit.library.__name__ != "httpx":
        pytest.skip("this openai knows no httpx2")
    return kit


@pytest.mark.anyio
async def test_the_openai_sdk_gets_a_masked_stream(sdk_kit: Kit) -> None:
    with Upstream.running(
        b": hello\n\n", _chat_chunk(role="assistant"), _chat_chunk(content="Hi"), b"data: [DONE]\n\n"
    ) as upstream:
        chunks, error = await SDK(sdk_kit, upstream.url).create(stream=True)
    assert error is None
    assert [chunk.model for chunk in chunks] == ["alias", "alias"]
    assert chunks[1].choices[0].delta.content == "Hi"


@pytest.mark.anyio
async def test_the_openai_sdk_gets_a_masked_body(sdk_kit: Kit) -> None:
    with Upstream.running(json.dumps(CHAT).encode(), content_type="application/json") as upstream:
        (answer,), error = await SDK(sdk_kit, upstream.url).create()
    assert error is None
    assert (answer.model, answer.choices[0].message.content) == ("alias", "Hi")


@pytest.mark.anyio
async def test_the_openai_sdk_raises_its_own_error_in_the_middle_of_a_stream(sdk_kit: Kit) -> None:
    openai = pytest.importorskip("openai")
    half = _chat_chunk(content="Hi")[:40]
    with Upstream.running(_chat_chunk(role="assistant"), half) as upstream:
        chunks, error = await SDK(sdk_kit, upstream.url).create(stream=True)
    assert [chunk.model for chunk in chunks] == ["alias"]
    assert type(error) is openai.APIConnectionError
    assert isinstance(error.__cause__, sdk_kit.library.RemoteProtocolError)
