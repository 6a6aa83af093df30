"""`RewriteMiddleware` and bodies: JSON, compressed ones, files."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from asgi_peers import DONE, ONE, ONE_MASKED, RULES, TWO, TWO_MASKED, Server
from middleware_case import BODY, BODY_MASKED, BREAKING, JSON, SSE, App, Case, app, bodies, body, start
from sse_fast.errors import EncodingError, SSEFastError
from starlette.responses import FileResponse
from support import bytewise

pytestmark = pytest.mark.anyio


# JSON bodies.


async def test_a_JSON_body_is_rewritten_with_its_length() -> None:
    headers = [
        (b"content-length", str(len(BODY)).encode()),
        JSON,
        (b"etag", b'"x"'),
        (b"connection", b"close"),
        (b"cache-control", b"max-age=1"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
    ]
    server = await Case(app(start(*headers, status=429), body(BODY)), None, body_rules=RULES).run()
    assert server.status == 429
    assert server.sent[0]["headers"] == [
        *headers[1:2],
        *headers[3:],
        (b"content-length", str(len(BODY_MASKED)).encode()),
    ]
    assert server.sent[1:] == [body(BODY_MASKED)]


async def test_a_JSON_body_in_parts_is_held_until_it_is_whole() -> None:
    case = Case(app(start(JSON, (b"transfer-encoding", b"chunked")), *bodies(*bytewise(BODY))), body_rules=RULES)
    server = await case.run()
    assert server.sent[0]["headers"] == [JSON, (b"content-length", b"28")]
    assert server.sent[1:] == [body(BODY_MASKED)]
    assert case.reports == []  # of streams only


async def test_a_body_that_is_not_JSON_passes_with_its_status() -> None:
    for invalid in (b"<html>", b'{"model": "x"', b"", b"\xff"):
        server = await Case(app(start(JSON, status=502), body(invalid)), body_rules=RULES).run()
        assert server.status == 502
        assert server.body == invalid
        assert server.headers[b"content-length"] == str(len(invalid)).encode()


async def test_JSON_without_body_rules_and_streams_without_rules_pass() -> None:
    messages = [start(JSON, (b"etag", b"x")), body(BODY)]
    server = await Case(app(*messages)).run()
    assert all(sent is message for sent, message in zip(server.sent, messages, strict=True))
    messages = [start(SSE, (b"etag", b"x")), body(ONE)]
    server = await Case(app(*messages), None, body_rules=RULES).run()
    assert all(sent is message for sent, message in zip(server.sent, messages, strict=True))


async def test_a_JSON_body_up_to_max_body() -> None:
    exact = app(start(JSON), *bodies(*bytewise(BODY)))
    assert (await Case(exact, body_rules=RULES, max_body=len(BODY)).run()).body == BODY_MASKED


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_JSON_body_beyond_max_body_is_refused_and_nothing_leaks(compressed: bool) -> None:
    large = b'"' + bytes(b"a" * 100_000) + b'"'
    data = gzip.compress(large) if compressed else large
    headers = [JSON, (b"content-encoding", b"gzip")] if compressed else [JSON]
    for messages in ([body(data)], bodies(data[:50], data[50:]), bodies(*bytewise(data)[:50], data[50:])):
        case = Case(app(start(*headers), *messages), body_rules=RULES, max_body=1000)
        server = await case.fails(SSEFastError, "more than max_body, 1000 bytes, cannot be rewritten: raise max_body")
        assert server.sent == []


async def test_a_refused_response_can_be_followed_by_another() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(start(JSON), body(b"x" * 20))(scope, receive, send)
        except SSEFastError:
            with pytest.raises(SSEFastError):  # its rest does not pass
                await send(body(b"x"))
            await app(start(JSON, status=500), body(BODY))(scope, receive, send)

    server = await Case(application, body_rules=RULES, max_body=len(BODY) - 10).fails(SSEFastError, "max_body")
    assert server.sent == []
    short = b'{"model":1}'
    server = await Case(app_then(short), body_rules=RULES, max_body=12).run()
    assert server.status == 500
    assert server.body == b'{"model":"alias"}'


def app_then(second: bytes) -> App:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(start(JSON), body(b"x" * 20))(scope, receive, send)
        except SSEFastError:
            await app(start(JSON, status=500), body(second))(scope, receive, send)

    return application


async def test_an_application_that_swallows_a_refusal() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        for message in (start(JSON), *bodies(b"x" * 20, b"y")):
            try:
                await send(message)
            except SSEFastError:
                continue

    server = await Case(application, body_rules=RULES, max_body=9).fails(SSEFastError, "max_body")
    assert server.sent == []


async def test_body_rules_that_fail_send_nothing() -> None:
    case = Case(app(start(JSON), body(b'{"n":2}')), None, body_rules=BREAKING)
    assert (await case.fails(LookupError, "two")).sent == []


async def test_an_application_that_fails_in_a_JSON_body_sends_nothing() -> None:
    case = Case(app(start(JSON), body(BODY[:9], True), ValueError("broken")), body_rules=RULES, errors="event")
    assert (await case.fails(ValueError, "broken")).sent == []


# Compressed bodies.


CODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"deflate, gzip": lambda data: gzip.compress(zlib.compress(data)),
    b"identity": bytes,
}


@pytest.mark.parametrize("coding", CODERS)
async def test_F30_compressed_bodies_are_decoded(coding: bytes) -> None:
    header = [(b"content-encoding", coding), (b"vary", b"accept-encoding"), (b"content-length", b"9")]
    data = CODERS[coding](ONE + TWO + DONE)
    for chunks in ([data], bytewise(data)):
        server = await Case(app(start(SSE, *header), *bodies(*chunks))).run()
        assert server.body == ONE_MASKED + TWO_MASKED + DONE
        assert b"content-encoding" not in server.headers
        assert server.headers[b"vary"] == b"accept-encoding"
        data_json = CODERS[coding](BODY)
        server = await Case(app(start(JSON, *header), *bodies(*bytewise(data_json))), body_rules=RULES).run()
        assert server.body == BODY_MASKED
        assert b"content-encoding" not in server.headers
        assert server.headers[b"content-length"] == b"28"


async def test_F30_several_header_lines_are_a_list() -> None:
    header = [(b"content-encoding", b"deflate"), (b"content-encoding", b"gzip")]
    data = CODERS[b"deflate, gzip"](ONE)
    assert (await Case(app(start(SSE, *header), *bodies(data))).run()).body == ONE_MASKED


async def test_G4_a_flushed_event_of_a_compressed_stream_is_sent_at_once() -> None:
    encoder = zlib.compressobj(wbits=31)
    flushed = encoder.compress(ONE) + encoder.flush(zlib.Z_SYNC_FLUSH)
    case = Case(app(start(SSE, (b"content-encoding", b"gzip")), body(flushed, True), None))
    server = Server()
    task = server.start(case.app)
    await server.until_body(ONE_MASKED)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("kind", [SSE, JSON])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_F30_what_cannot_be_decoded_is_refused_before_anything_is_sent(kind: Any, method: str) -> None:
    application = app(start(kind, (b"content-encoding", b"br")), body(b"?"))
    case = Case(application, body_rules=RULES)
    assert (await case.fails(EncodingError, "'br' cannot be decoded", method)).sent == []
    assert case.reports == []
    # Where no rules apply, it is nobody's business.
    server = await Case(application, None, body_rules=lambda scope: None).run(method)
    assert server.body == b"?"
    other = app(start((b"content-type", b"text/plain"), (b"content-encoding", b"br")), body(b"?"))
    assert (await Case(other).run(method)).body == b"?"


async def test_F30_an_application_that_swallows_the_refusal() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        for message in (start(SSE, (b"content-encoding", b"br")), *bodies(b"?")):
            with suppress(EncodingError):
                await send(message)

    assert (await Case(application).fails(EncodingError, "'br' cannot be decoded")).sent == []


async def test_F30_broken_and_cut_bodies() -> None:
    head = start(SSE, (b"content-encoding", b"gzip"))
    data = gzip.compress(ONE + TWO)
    case = Case(app(head, *bodies(*bytewise(data[:-4]))))
    server = await case.fails(EncodingError, "was cut after byte")
    assert server.body == ONE_MASKED + TWO_MASKED
    assert not server.complete
    case = Case(app(head, *bodies(ONE)), errors="event")
    server = await case.run()
    assert server.body.startswith(b"event: error\n")
    assert server.complete
    assert isinstance(case.reports[0].error, EncodingError)
    for broken in (gzip.compress(BODY)[:-1], BODY):
        case = Case(app(start(JSON, (b"content-encoding", b"gzip")), body(broken)), body_rules=RULES)
        assert (await case.fails(EncodingError, "'gzip': ")).sent == []


async def test_G6_a_bomb_is_sent_in_pieces() -> None:
    bomb = gzip.compress((b": " + b"a" * 1000 + b"\n\n") * 20_000)
    server = await Case(app(start(SSE, (b"content-encoding", b"gzip")), *bodies(bomb))).run()
    assert len(server.body) == 20_000 * 1004
    assert max(map(len, server.parts)) < 100_000


# Files.


async def test_files_cannot_be_sent_past_the_rules(tmp_path: Any) -> None:
    file = tmp_path / "recorded"
    file.write_bytes(ONE + DONE)
    extensions = {"http.response.pathsend": {}, "http.response.zerocopysend": {}, "http.response.trailers": {}}
    server = Server(extensions=extensions)
    await server.run(Case(FileResponse(file, media_type="text/event-stream")).app)
    assert server.body == ONE_MASKED + DONE
    assert b"content-length" not in server.headers
    assert list(server.scope["extensions"]) == list(extensions)  # the server's own scope is left alone

    for headers in ([SSE], [JSON]):
        for name in list(extensions)[:2]:
            case = Case(app(start(*headers), {"type": name, "path": str(file)}), body_rules=RULES)
            server = await case.fails(RuntimeError, f"'{name}' was sent for a response that is rewritten")
            assert server.body == b""


async def test_extensions_stay_where_no_rules_apply() -> None:
    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    server = Server(extensions={"http.response.pathsend": {}})
    await server.run(Case(application, lambda scope: None).app)
    assert seen == [server.scope]
    assert "http.response.pathsend" in seen[0]["extensions"]
