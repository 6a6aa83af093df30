"""Compressed bodies, what a request accepts, and bodies that others have read."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sse_fast.errors import EncodingError
from sse_fast.httpx import RewriteTransport

from transport.peers import BODY, BODY_MASKED, ONE, ONE_MASKED, RULES, TWO, TWO_MASKED, URL, Inner, Kit

# Compression.


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
async def test_a_type_that_is_said_twice_is_rewritten_all_the_same(kit: Kit) -> None:
    for content_type, plain, masked in (
        ("text/event-stream", ONE, ONE_MASKED),
        ("application/json", BODY, BODY_MASKED),
    ):
        inner = Inner(kit.library, [plain], content_type, headers=[("Content-Type", content_type)])
        received = await kit.get(RewriteTransport(RULES, body_rules=RULES, transport=inner))
        assert received.body == masked


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


# Inner transports that read the body themselves.


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
