"""`RewriteMiddleware` and event streams: how they pass, fail and are left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgi_peers import DONE, ONE, ONE_MASKED, TWO, TWO_MASKED, Server, Upstream, others
from middleware_case import BREAKING, SSE, Case, app, bodies, body, start
from sse_fast import InvalidEventError
from sse_fast.aio import StreamReport
from sse_fast.asgi import EventStreamResponse
from sse_fast.errors import TruncatedError
from starlette.responses import StreamingResponse
from support import bytewise

pytestmark = pytest.mark.anyio


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


async def test_of_an_error_no_end_of_a_stream_is_asked() -> None:
    case = Case(app(start(SSE, status=400), *bodies(b'{"error":{}}')), dialect=Dialect())
    server = await case.run()
    assert (server.complete, server.body) == (True, b'{"error":{}}')
    # Where it is one, and breaks off, no event is added to it that is of no API.
    case = Case(app(start(SSE, status=400), *bodies(ONE, HALF)), dialect=Dialect(), errors="event")
    server = await case.fails(TruncatedError, "in the middle of an event")
    assert server.body == ONE_MASKED


async def test_F26_an_application_that_returns_too_early() -> None:
    case = Case(app(start(SSE), body(ONE + HALF, True)))
    server = await case.fails(TruncatedError, "returned before its event stream was complete")
    assert server.body == ONE_MASKED
    assert case.outcome == "truncated"
    server = await Case(app(start(SSE), body(ONE, True)), errors="event").run()
    assert server.body.startswith(ONE_MASKED + b"event: error\n")
    assert server.complete


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
