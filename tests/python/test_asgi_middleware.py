"""`RewriteMiddleware`: by hand, and around Starlette and FastAPI."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from asgi_peers import Message, Server, Upstream, others
from fastapi import FastAPI
from sse_fast import Capture, InvalidEventError, Remove, Replace, Rewriter, RuleError, Rules, Set, Transform
from sse_fast.aio import RewriteStream, StreamReport
from sse_fast.asgi import EventStreamResponse, RewriteMiddleware
from sse_fast.errors import EncodingError, SSEFastError, TruncatedError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from support import bytewise

pytestmark = pytest.mark.anyio

ONE, TWO = b'data: {"model":"x","n":1}\n\n', b'data: {"model":"x","n":2}\n\n'
DONE = b"data: [DONE]\n\n"
ONE_MASKED, TWO_MASKED = ONE.replace(b'"x"', b'"alias"'), TWO.replace(b'"x"', b'"alias"')
BODY, BODY_MASKED = b'{"model": "x", "n": 1.0}', b'{"model": "alias", "n": 1.0}'
RULES = Rules([Replace("$.model", "alias"), Capture("n", "$.n")])
SSE, JSON = (b"content-type", b"text/event-stream"), (b"content-type", b"application/json")

App = Callable[[Any, Any, Any], Awaitable[None]]


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes = b"", more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def bodies(*chunks: bytes) -> list[Message]:
    """Each chunk in a message, and an empty one at the end."""
    return [*(body(chunk, True) for chunk in chunks), body()]


def app(*messages: Message | BaseException | None) -> App:
    """An application that sends these messages, raises these exceptions, and waits for ever at None."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            if message is None:
                await asyncio.Event().wait()
            if isinstance(message, BaseException):
                raise message
            await send(message)

    return application


class Case:
    """The middleware around an application, with the reports of its streams."""

    def __init__(self, application: App, rules: Any = RULES, **options: Any) -> None:
        self.reports: list[StreamReport] = []
        self.app = RewriteMiddleware(application, rules, on_end=self.reports.append, **options)

    async def run(self, method: str = "GET", **request: Any) -> Server:
        return await Server(method, **request).run(self.app)

    async def fails(self, error: type[BaseException], match: str, method: str = "GET", **request: Any) -> Server:
        server = Server(method, **request)
        with pytest.raises(error, match=match):
            await server.run(self.app)
        return server

    @property
    def outcome(self) -> str | None:
        (report,) = self.reports
        return report.outcome


# Event streams.


async def test_a_stream_is_rewritten_and_reported() -> None:
    case = Case(app(start(SSE, (b"x-request-id", b"r")), *bodies(ONE, TWO, DONE)))
    server = await case.run()
    assert server.parts == [ONE_MASKED, TWO_MASKED, DONE]
    assert server.complete
    assert server.headers[b"x-request-id"] == b"r"
    assert case.outcome == "completed"
    assert case.reports[0].captured == {"n": 2}


async def test_G3_however_the_body_is_cut() -> None:
    whole = ONE + TWO + DONE
    for chunks in ([whole], bytewise(whole)):
        for messages in (bodies(*chunks), [*bodies(*chunks)[:-2], body(chunks[-1])]):
            server = await Case(app(start(SSE), *messages)).run()
            assert server.body == ONE_MASKED + TWO_MASKED + DONE
            assert server.complete


async def test_G4_an_event_is_sent_on_in_the_call_that_completes_it() -> None:
    server = Server()
    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(start(SSE))
        seen.append(server.parts)
        for half in (ONE[:9], ONE[9:], TWO + DONE[:3], DONE[3:]):
            await send(body(half, True))
            seen.append(server.parts)
        await send(body())

    await server.run(Case(application).app)
    first = [ONE_MASKED]
    second = [ONE_MASKED, TWO_MASKED]
    assert seen == [[], [], first, second, [*second, DONE]]


async def test_parts_that_give_nothing_are_not_sent() -> None:
    server = await Case(app(start(SSE), *bodies(*bytewise(ONE)))).run()
    # The start, the flush, the event, the end.
    assert [message.get("body") for message in server.sent] == [None, b"", ONE_MASKED, b""]


async def test_F31_headers_leave_at_once() -> None:
    case = Case(app(start(SSE), None))
    server = Server()
    task = server.start(case.app)
    await server.until(lambda server: len(server.sent) == 2)
    assert server.sent[1] == body(b"", True)  # lets a server send the start
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert case.outcome == "cancelled"


async def test_F30_headers_are_those_of_a_rewritten_event_stream() -> None:
    headers = [
        SSE,
        (b"content-length", b"99"),
        (b"etag", b'"x"'),
        (b"transfer-encoding", b"chunked"),
        (b"cache-control", b"max-age=1"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b\xe9"),
    ]
    message = start(*headers)
    server = await Case(app(message, *bodies(ONE))).run()
    assert server.sent[0]["headers"] == [
        SSE,
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b\xe9"),
        (b"cache-control", b"no-cache, no-transform"),
        (b"x-accel-buffering", b"no"),
    ]
    assert message == start(*headers)  # the application's own is left alone


async def test_content_types_in_any_case_and_with_parameters() -> None:
    for value in (b"TEXT/Event-Stream", b"text/event-stream; charset=utf-8"):
        server = await Case(app(start((b"Content-Type", value)), *bodies(ONE))).run()
        assert server.body == ONE_MASKED


async def test_other_statuses_are_streams_too() -> None:
    server = await Case(app(start(SSE, status=503), *bodies(ONE))).run()
    assert server.status == 503
    assert server.body == ONE_MASKED


async def test_backpressure_is_that_of_the_server() -> None:
    upstream = Upstream(ONE, TWO, DONE)
    case = Case(StreamingResponse(upstream, media_type="text/event-stream"))
    server = Server(takes=2)
    task = server.start(case.app)
    await server.until_body(ONE_MASKED)
    for _ in range(20):
        await asyncio.sleep(0)
    assert upstream.asked == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_G10_a_last_event_is_ended() -> None:
    server = await Case(app(start(SSE), *bodies(ONE + TWO[:-2]))).run()
    assert server.body == ONE_MASKED + TWO_MASKED
    assert server.complete


async def test_empty_streams_and_messages_without_keys() -> None:
    case = Case(app(start(SSE), {"type": "http.response.body"}))
    server = await case.run()
    assert server.sent[2:] == [body()]
    assert case.outcome == "completed"


async def test_policies_reach_the_rewriter() -> None:
    chunks = [b": ping\n\n", b"retry: 1\n\n", b"data: nonsense\n\n", ONE]
    options = {"comments": "drop", "on_invalid": "drop", "empty_blocks": "drop"}
    assert (await Case(app(start(SSE), *bodies(*chunks)), **options).run()).body == ONE_MASKED
    assert (await Case(app(start(SSE), *bodies(*chunks))).run()).body == b"".join(chunks[:3]) + ONE_MASKED


# How streams fail.


HALF = TWO[:12]


async def test_F26_an_application_that_fails_is_heard_and_its_half_event_is_not() -> None:
    case = Case(app(start(SSE), body(ONE + HALF, True), ValueError("broken")))
    server = await case.fails(ValueError, "broken")
    assert server.body == ONE_MASKED
    assert not server.complete
    assert case.outcome == "upstream_error"
    assert isinstance(case.reports[0].error, ValueError)


async def test_F27_an_application_that_fails_as_an_event() -> None:
    case = Case(app(start(SSE), body(ONE + HALF, True), ValueError("secret")), errors="event")
    server = await case.run()
    assert server.parts[0] == ONE_MASKED
    assert server.parts[1].startswith(b"event: error\n")
    assert b"secret" not in server.body
    assert server.complete
    assert case.outcome == "upstream_error"


class Dialect:
    """The hooks that a dialect has."""

    def error_event(self, error: BaseException, report: StreamReport) -> bytes:
        return b"data: %s\n\n" % type(error).__name__.encode()

    def is_terminal(self, report: StreamReport) -> bool:
        return report.stats is not None and report.stats.done


async def test_F27_the_dialect_writes_the_error() -> None:
    case = Case(app(start(SSE), body(ONE, True), ValueError()), errors="event", dialect=Dialect())
    assert (await case.run()).parts == [ONE_MASKED, b"data: ValueError\n\n"]


@pytest.mark.parametrize("chunks", [[ONE + HALF], [ONE, HALF]])
async def test_F26_half_an_event_at_the_end(chunks: list[bytes]) -> None:
    for messages in (bodies(*chunks), [*bodies(*chunks)[:-2], body(chunks[-1])]):
        case = Case(app(start(SSE), *messages))
        server = await case.fails(TruncatedError, "in the middle of an event")
        assert server.body == ONE_MASKED
        assert not server.complete
        assert case.outcome == "truncated"

        # As an event, it is nothing that the application has to hear of: it was at its end.
        application = app(start(SSE), *messages, LookupError("still at work"))
        case = Case(application, errors="event")
        server = await case.fails(LookupError, "still at work")
        assert server.body.startswith(ONE_MASKED + b"event: error\n")
        assert server.complete
        assert case.outcome == "truncated"


async def test_F26_an_end_without_the_terminal_event() -> None:
    case = Case(app(start(SSE), *bodies(ONE)), dialect=Dialect())
    await case.fails(TruncatedError, "without the event that ends a stream")
    assert (await Case(app(start(SSE), *bodies(ONE, DONE)), dialect=Dialect()).run()).complete


async def test_F26_an_application_that_returns_too_early() -> None:
    case = Case(app(start(SSE), body(ONE + HALF, True)))
    server = await case.fails(TruncatedError, "returned before its event stream was complete")
    assert server.body == ONE_MASKED
    assert case.outcome == "truncated"
    server = await Case(app(start(SSE), body(ONE, True)), errors="event").run()
    assert server.body.startswith(ONE_MASKED + b"event: error\n")
    assert server.complete


def fail_at_two(value: int) -> int:
    if value == 2:
        raise LookupError("two")
    return value


BREAKING = Rules([Transform("$.n", fail_at_two)])


async def test_rules_that_fail_stop_the_application() -> None:
    upstream = Upstream(ONE + TWO, DONE, None)
    case = Case(StreamingResponse(upstream, media_type="text/event-stream"), BREAKING)
    server = await case.fails(LookupError, "two")
    assert server.body == ONE
    assert not server.complete
    assert upstream.asked == 1
    assert case.outcome == "upstream_error"


async def test_rules_that_fail_as_an_event_stop_the_application_too() -> None:
    upstream = Upstream(ONE + TWO, DONE, None)
    case = Case(StreamingResponse(upstream, media_type="text/event-stream"), BREAKING, errors="event")
    server = await case.run()
    assert server.body.startswith(ONE + b"event: error\n")
    assert server.complete
    assert upstream.asked == 1
    assert case.outcome == "upstream_error"


@pytest.mark.parametrize("errors", ["raise", "event"])
async def test_an_application_that_swallows_the_error(errors: str) -> None:
    stopped = 0

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal stopped
        await send(start(SSE))
        for message in (*bodies(TWO, ONE), start(SSE), {"type": "http.response.trailers"}):
            try:
                await send(message)
            except LookupError:
                stopped += 1

    case = Case(application, BREAKING, errors=errors)
    if errors == "raise":
        server = await case.fails(LookupError, "two")
        assert server.body == b""
        assert not server.complete
    else:
        server = await case.run()
        assert server.body.startswith(b"event: error\n")
        assert server.complete
    assert stopped == 5  # and nothing that came after has left
    assert case.outcome == "upstream_error"


async def test_on_invalid_raise() -> None:
    case = Case(app(start(SSE), *bodies(ONE, b"data: nonsense\n\n", TWO)), on_invalid="raise")
    server = await case.fails(InvalidEventError, "JSON")
    assert server.body == ONE_MASKED


async def test_an_event_larger_than_can_be_held_breaks_in_both_modes() -> None:
    large = b'data: {"text":"' + b"a" * 5000
    for errors in ("raise", "event"):
        case = Case(app(start(SSE), body(ONE, True), body(large, True), ValueError("x")), errors=errors, max_held=1000)
        server = await case.fails(ValueError, "x")
        assert server.body.startswith(ONE_MASKED + b'data: {"text":"a')
        assert not server.complete


async def test_an_error_after_the_end_goes_up() -> None:
    for errors in ("raise", "event"):
        case = Case(app(start(SSE), *bodies(ONE), ValueError("background")), errors=errors)
        server = await case.fails(ValueError, "background")
        assert server.complete
        assert case.outcome == "completed"


async def test_an_error_before_the_start_goes_up() -> None:
    case = Case(app(ValueError("early")), errors="event")
    assert (await case.fails(ValueError, "early")).sent == []
    assert case.reports == []


# The client leaves.


async def test_F25_a_cancel_goes_on_up_and_is_reported_once() -> None:
    case = Case(app(start(SSE), body(ONE, True), None), errors="event")
    server = Server()
    task = server.start(case.app)
    await server.until_body(ONE_MASKED)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert case.outcome == "cancelled"
    assert server.body == ONE_MASKED


@pytest.mark.parametrize("errors", ["raise", "event"])
async def test_F25_a_send_that_raises_OSError_is_a_departure(errors: str) -> None:
    class Left(Exception):
        pass

    for sends in range(4):
        server = Server()

        async def send(message: Any, server: Server = server, sends: int = sends) -> None:
            if len(server.sent) == sends:
                raise BrokenPipeError
            await server.send(message)

        async def application(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(start(SSE), *bodies(ONE))(scope, receive, send)
            except OSError:
                raise Left from None  # as Starlette does

        case = Case(application, errors=errors)
        with pytest.raises(Left):
            await case.app(server.scope, server.receive, send)
        assert len(server.sent) == sends
        assert case.outcome == "cancelled"


async def test_F25_a_client_that_leaves_just_when_the_application_fails() -> None:
    server = Server()

    async def send(message: Any) -> None:
        if message.get("body", b"").startswith(b"event: error"):
            raise BrokenPipeError
        await server.send(message)

    case = Case(app(start(SSE), body(ONE, True), ValueError("broken")), errors="event")
    with pytest.raises(ValueError, match="broken"):
        await case.app(server.scope, server.receive, send)
    assert case.outcome == "upstream_error"


@pytest.mark.parametrize("errors", ["raise", "event"])
@pytest.mark.parametrize("spec", ["2.3", "2.4"])
async def test_F25_an_application_that_sees_the_client_leave(errors: str, spec: str) -> None:
    """It returns early, which is no failure then."""
    upstream = Upstream(ONE, None)
    case = Case(EventStreamResponse(upstream), errors=errors)
    server = Server(spec_version=spec, send_raises=spec == "2.4")
    task = server.start(case.app)
    await server.until_body(ONE_MASKED)
    server.leave()
    await task
    assert case.outcome == "cancelled"
    assert upstream.closed == 1
    assert server.body == ONE_MASKED
    assert not others()


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


# What passes.


SLICE = (b"content-range", b"bytes 0-9/99")
PASSING = {
    "plain": [start((b"content-type", b"text/plain"), (b"content-length", b"1")), body(b"x")],
    "no content type": [start(), body(b"x")],
    "no headers": [{"type": "http.response.start", "status": 200}, {"type": "http.response.body"}],
    "204": [start(SSE, status=204), body()],
    "304": [start(JSON, (b"etag", b"x"), status=304), body()],
    "205": [start(JSON, status=205), body()],
    "206": [start(SSE, (b"etag", b"x"), status=206), body(ONE)],
    "206 json": [start(JSON, (b"etag", b"x"), status=206), body(BODY)],
    "range": [start(SSE, SLICE), body(ONE)],
    "416": [start((b"content-range", b"bytes */99"), JSON, status=416), body(BODY)],
    "trailers": [
        {**start((b"content-type", b"text/plain")), "trailers": True},
        body(b"x"),
        {"type": "http.response.trailers", "headers": [(b"a", b"b")]},
    ],
    "sent file": [start((b"content-type", b"text/plain")), {"type": "http.response.pathsend", "path": "/x"}],
    "body first": [body(b"x"), start()],
    "two starts": [start((b"content-type", b"text/plain")), start(SSE), body(ONE)],
    "unknown": [{"type": "http.response.debug", "info": {}}, start(), body()],
}


@pytest.mark.parametrize("name", PASSING)
async def test_it_passes_as_the_very_messages(name: str) -> None:
    messages = PASSING[name]
    server = await Case(app(*messages), body_rules=RULES).run()
    assert len(server.sent) == len(messages)
    assert all(sent is message for sent, message in zip(server.sent, messages, strict=True))


async def test_a_plain_HEAD_passes() -> None:
    messages = [start((b"content-type", b"text/plain"), (b"content-length", b"9")), body()]
    server = await Case(app(*messages), body_rules=RULES).run("HEAD")
    assert all(sent is message for sent, message in zip(server.sent, messages, strict=True))


async def test_HEAD_gets_the_headers_of_GET() -> None:
    messages = [start(SSE, (b"content-length", b"9"), (b"etag", b"x")), body()]
    got, head = [await Case(app(*messages)).run(method) for method in ("GET", "HEAD")]
    assert head.headers == got.headers
    assert head.sent[1:] == [body()]
    messages = [start(JSON, (b"content-length", b"24"), (b"etag", b"x")), body()]
    case = Case(app(*messages), body_rules=RULES)
    head = await case.run("HEAD")
    assert head.headers == dict([JSON])  # the length of what GET would give is not known
    assert head.sent[1:] == [body()]
    assert case.reports == []


async def test_informational_responses_pass_before_the_response() -> None:
    hint = {"type": "http.response.early_hint", "links": [b"x"]}
    server = await Case(app(hint, start(JSON, status=103), start(SSE), *bodies(ONE))).run()
    assert server.sent[:2] == [hint, start(JSON, status=103)]
    assert server.body == ONE_MASKED


async def test_trailers_and_other_messages_pass_a_rewritten_response() -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"a", b"b")], "more_trailers": False}
    debug = {"type": "http.response.debug", "info": {}}
    first = {**start(SSE), "trailers": True}
    server = await Case(app(first, debug, *bodies(ONE), trailers)).run()
    assert server.sent[0]["trailers"] is True
    assert server.sent[2] is debug
    assert server.sent[-1] is trailers
    assert server.body == ONE_MASKED
    server = await Case(app({**first, "headers": [JSON]}, debug, body(BODY), trailers), body_rules=RULES).run()
    assert [message["type"].rpartition(".")[2] for message in server.sent] == ["debug", "start", "body", "trailers"]
    assert server.sent[1]["trailers"] is True


async def test_the_server_judges_a_strange_order() -> None:
    second = start(SSE, status=500)
    server = await Case(app(start(SSE), body(ONE, True), second, body(TWO))).run()
    assert server.sent[3] is second
    assert server.body == ONE_MASKED + TWO_MASKED
    late = body(b"late")
    server = Server()
    await server.run(Case(app(start(SSE), body(ONE), late)).app)
    assert server.sent[-1] is late


async def test_headers_may_be_any_iterable() -> None:
    message = {"type": "http.response.start", "status": 200, "headers": iter([SSE])}
    assert (await Case(app(message, *bodies(ONE))).run()).body == ONE_MASKED
    message = {"type": "http.response.start", "status": 200, "headers": iter([(b"content-type", b"text/plain")])}
    server = await Case(app(message, body(b"x"))).run()
    assert list(server.sent[0]["headers"]) == [(b"content-type", b"text/plain")]


async def test_other_scopes_pass() -> None:
    for kind in ("websocket", "lifespan"):
        calls: list[Any] = []

        async def application(*arguments: Any, calls: list[Any] = calls) -> None:
            calls.append(arguments)

        def unasked(scope: Any) -> Rules | None:
            raise AssertionError

        arguments = ({"type": kind}, object(), object())
        await Case(application, unasked).app(*arguments)
        assert calls[0][0] is arguments[0]
        assert calls == [arguments]


# Which rules.


async def test_rules_by_request() -> None:
    def rules_for(scope: Any) -> Rules | None:
        return RULES if scope["path"] == "/" else None

    for path, expected in (("/", ONE_MASKED), ("/other", ONE)):
        scopes = []

        async def application(scope: Any, receive: Any, send: Any, scopes: list[Any] = scopes) -> None:
            scopes.append(scope)
            await app(start(SSE), *bodies(ONE))(scope, receive, send)

        server = Server()
        server.scope["path"] = path
        await server.run(Case(application, rules_for).app)
        assert server.body == expected
        assert scopes[0] is server.scope


async def test_rules_from_any_iterable() -> None:
    case = Case(app(start(SSE), *bodies(ONE)), (rule for rule in [Set("$.model", "a"), Remove("$.n")]))
    for _ in range(2):
        assert (await case.run()).body == b'data: {"model":"a"}\n\n'


async def test_what_a_function_may_return() -> None:
    for wrong in ([Remove("$.n")], "x"):
        case = Case(app(), lambda scope, wrong=wrong: wrong)
        await case.fails(TypeError, f"^rules is a function that returned '{type(wrong).__name__}', not Rules nor None$")
    case = Case(app(), None, body_rules=lambda scope: 1)
    await case.fails(TypeError, "^body_rules is a function")


async def test_errors_of_use() -> None:
    def make(**options: Any) -> None:
        RewriteMiddleware(app(), RULES, **options)

    with pytest.raises(ValueError, match="errors must be 'raise' or 'event'"):
        make(errors="no")
    with pytest.raises(ValueError, match="max_body must not be negative: -1"):
        make(max_body=-1)
    with pytest.raises(ValueError):
        make(max_held=0)
    with pytest.raises(ValueError):
        make(on_invalid="no")
    with pytest.raises(RuleError):
        RewriteMiddleware(app(), ["$.model"])  # type: ignore[list-item]
    with pytest.raises(RuleError):
        make(body_rules=[1])


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


# In frameworks.


class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        return await call_next(request)


REWRITE = Middleware(RewriteMiddleware, RULES, body_rules=RULES)
OTHERS = [
    Middleware(GZipMiddleware, minimum_size=0),
    Middleware(CORSMiddleware, allow_origins=["*"]),
    Middleware(Passing),
]
STACKS: dict[str, list[Middleware]] = {
    "alone": [REWRITE],
    "outermost": [REWRITE, *OTHERS],
    "innermost": [*OTHERS, REWRITE],
    "twice": [REWRITE, *OTHERS, REWRITE],
}
ASKED = [(b"accept-encoding", b"gzip"), (b"origin", b"http://o")]


def starlette_app(stack: Iterable[Middleware], upstream: Upstream) -> Any:
    async def stream(request: Request) -> Response:
        return StreamingResponse(upstream, media_type="text/event-stream")

    async def answer(request: Request) -> Response:
        return JSONResponse({"model": "x", "n": 1})

    async def text(request: Request) -> Response:
        return PlainTextResponse('{"model":"x"}')

    routes = [Route("/", stream), Route("/json", answer), Route("/text", text)]
    return Starlette(routes=routes, middleware=list(stack))


def fastapi_app(stack: Iterable[Middleware], upstream: Upstream) -> Any:
    application = FastAPI(middleware=list(stack))

    @application.api_route("/", methods=["GET", "HEAD"])
    async def stream() -> Any:
        return EventStreamResponse(RewriteStream(upstream, Rewriter([])))

    @application.get("/json")
    async def answer() -> dict[str, Any]:
        return {"model": "x", "n": 1}

    @application.get("/text", response_class=PlainTextResponse)
    async def text() -> str:
        return '{"model":"x"}'

    return application


FRAMEWORKS = pytest.mark.parametrize("framework", [starlette_app, fastapi_app], ids=["starlette", "fastapi"])
IN_STACKS = pytest.mark.parametrize("stack", STACKS)


@FRAMEWORKS
@IN_STACKS
async def test_streams_and_bodies_in_frameworks(framework: Callable[..., Any], stack: str) -> None:
    application = framework(STACKS[stack], Upstream(ONE, DONE))
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.get("/", headers={"origin": "http://o"})
        assert response.content == ONE_MASKED + DONE
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert "content-encoding" not in response.headers
        response = await client.get("/json")
        assert response.json() == {"model": "alias", "n": 1}
        response = await client.get("/text")
        assert json.loads(response.text) == {"model": "x"}
        response = await client.head("/")
        assert response.headers["content-type"].startswith("text/event-stream")


@FRAMEWORKS
@IN_STACKS
async def test_F24_a_departure_reaches_the_upstream_in_frameworks(framework: Callable[..., Any], stack: str) -> None:
    closed = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        try:
            yield ONE
            await asyncio.Event().wait()
        finally:
            closed.set()

    server = Server(headers=ASKED)
    task = server.start(framework(STACKS[stack], source()))
    await server.until_body(ONE_MASKED)
    server.leave()
    await task
    assert closed.is_set()
    assert not others()


@FRAMEWORKS
@IN_STACKS
async def test_F26_errors_go_up_in_frameworks(framework: Callable[..., Any], stack: str) -> None:
    server = Server(headers=ASKED)
    with pytest.raises(ValueError, match="broken"):
        await server.run(framework(STACKS[stack], Upstream(ONE, ValueError("broken"))))
    assert server.body == ONE_MASKED


@pytest.mark.parametrize("framework", [starlette_app, fastapi_app], ids=["starlette", "fastapi"])
async def test_refusals_become_a_500_in_frameworks(framework: Callable[..., Any]) -> None:
    application = framework([Middleware(RewriteMiddleware, None, body_rules=RULES, max_body=3)], Upstream())
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.get("/json")
    assert response.status_code == 500
    assert b"model" not in response.content
