"""`EventStreamResponse` by hand: its headers, its errors, and a client that leaves."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from asgi_answer import Answer
from asgi_peers import DONE, ONE, ONE_MASKED, TWO, TWO_MASKED, Server, Upstream, others
from sse_fast.asgi import EventStreamResponse
from sse_fast.errors import TruncatedError
from starlette.responses import Response

pytestmark = pytest.mark.anyio


async def test_a_stream_is_rewritten_and_complete() -> None:
    answer = Answer(ONE, TWO, DONE, headers={"content-type": "text/event-stream", "x-request-id": "r"})
    server = await Server().run(answer.response)
    assert server.status == 200
    assert server.headers[b"x-request-id"] == b"r"
    assert server.parts == [ONE_MASKED, TWO_MASKED, DONE]
    assert server.complete
    assert answer.outcome == "completed"
    assert answer.reports[0].captured == {"n": 2}
    assert answer.background == ["done"]
    answer.check_closed()


async def test_F31_headers_leave_before_the_first_token() -> None:
    answer = Answer(None)
    server = Server()
    task = server.start(answer.response)
    # The start alone does not do: ASGI lets a server keep it until the body begins.
    await server.until(lambda server: len(server.sent) == 2)
    assert [message["type"] for message in server.sent] == ["http.response.start", "http.response.body"]
    assert server.sent[1] == {"type": "http.response.body", "body": b"", "more_body": True}
    server.leave()
    await task
    answer.check_closed()


async def test_headers_are_those_of_a_rewritten_event_stream() -> None:
    upstream = httpx.Headers(
        [
            ("Content-Type", "text/event-stream"),
            ("Content-Length", "10"),
            ("Content-Encoding", "gzip"),
            ("Transfer-Encoding", "chunked"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("Date", "Tue, 24 Nov 2026 10:00:00 GMT"),
            ("Server", "upstream"),
        ]
    )
    server = await Server().run(Answer(DONE, headers=upstream).response)
    assert server.sent[0]["headers"] == [
        (b"content-type", b"text/event-stream"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"cache-control", b"no-cache, no-transform"),
        (b"x-accel-buffering", b"no"),
    ]
    server = await Server().run(Answer(DONE).response)
    assert server.headers[b"content-type"] == b"text/event-stream; charset=utf-8"


async def test_header_bytes_come_through_from_every_client() -> None:
    raw = [(b"x-latin", b"\xe9"), (b"x-utf", "\u65e5".encode())]
    server = await Server().run(Answer(DONE, headers=raw).response)
    assert server.sent[0]["headers"][:2] == raw
    decoded = [("x-utf", "\u65e5"), ("x-odd", b"\xe9\xff".decode("utf-8", "surrogateescape"))]  # as aiohttp reads them
    server = await Server().run(Answer(DONE, headers=decoded).response)
    assert server.sent[0]["headers"][:2] == [(b"x-utf", "\u65e5".encode()), (b"x-odd", b"\xe9\xff")]


async def test_it_is_a_response_of_starlette() -> None:
    response = Answer(DONE, status_code=503).response
    assert isinstance(response, Response)
    response.headers["x-added"] = "1"
    response.set_cookie("a", "b")
    server = await Server().run(response)
    assert server.status == 503
    assert server.headers[b"x-added"] == b"1"
    assert server.headers[b"set-cookie"].startswith(b"a=b")


@pytest.mark.parametrize("send_raises", [False, True])
async def test_F23_a_client_that_leaves_while_the_upstream_is_silent(send_raises: bool) -> None:
    answer = Answer(ONE, None)
    server = Server(send_raises=send_raises)
    task = server.start(answer.response)
    await server.until_body(ONE_MASKED)
    server.leave()
    await task
    assert answer.outcome == "cancelled"
    assert answer.background == []
    assert not server.complete
    answer.check_closed()


async def test_F23_a_client_that_leaves_before_the_first_byte() -> None:
    answer = Answer(None)
    server = Server()
    server.leave()
    await server.run(answer.response)
    assert answer.outcome == "cancelled"
    answer.check_closed()


async def test_F23_a_client_that_does_not_read_and_leaves() -> None:
    answer = Answer(ONE, TWO, None)
    server = Server(takes=2)
    task = server.start(answer.response)
    await server.until_body(ONE_MASKED)
    for _ in range(20):
        await asyncio.sleep(0)
    assert server.body == ONE_MASKED
    assert answer.upstream.asked == 1  # backpressure
    server.leave()
    await task
    assert answer.outcome == "cancelled"
    answer.check_closed()


@pytest.mark.parametrize("sends", range(5))
async def test_a_send_that_raises_OSError_is_a_departure(sends: int) -> None:
    """At the start, the flush, an event, the next, the end."""
    answer = Answer(ONE, TWO)
    server = Server()

    async def send(message: Any) -> None:
        if len(server.sent) == sends:
            raise BrokenPipeError
        await server.send(message)

    await answer.response(server.scope, server.receive, send)
    assert len(server.sent) == sends
    assert answer.background == []
    assert answer.outcome == ("cancelled" if sends < 4 else "completed")
    answer.check_closed()


async def test_an_OSError_of_the_upstream_is_no_departure() -> None:
    answer = Answer(ONE, ConnectionResetError("upstream"))
    server = Server()
    with pytest.raises(ConnectionResetError, match="upstream"):
        await server.run(answer.response)
    assert server.body == ONE_MASKED
    assert not server.complete
    assert answer.outcome == "upstream_error"
    answer.check_closed()


async def test_F26_an_error_goes_up_after_every_whole_event() -> None:
    answer = Answer(ONE + b'data: {"mo', ValueError("broken"))
    server = Server()
    with pytest.raises(ValueError, match="broken"):
        await server.run(answer.response)
    assert server.body == ONE_MASKED
    assert not server.complete
    assert answer.background == []
    answer.check_closed()


async def test_F26_half_an_event_at_the_end_is_an_error() -> None:
    answer = Answer(ONE + b'data: {"mo')
    server = Server()
    with pytest.raises(TruncatedError):
        await server.run(answer.response)
    assert server.body == ONE_MASKED
    assert not server.complete
    assert answer.outcome == "truncated"


async def test_F27_errors_as_events_end_the_response_properly() -> None:
    answer = Answer(ONE + b'data: {"mo', ValueError("broken"), options={"errors": "event"})
    server = await Server().run(answer.response)
    assert server.parts[0] == ONE_MASKED
    assert server.parts[1].startswith(b"event: error\ndata: ")
    assert server.complete
    assert answer.outcome == "upstream_error"
    assert answer.background == ["done"]


async def test_HEAD_gets_the_headers_and_reads_nothing() -> None:
    answer = Answer(ONE, None, headers={"x-a": "b"})
    server = await Server("HEAD").run(answer.response)
    assert server.headers[b"x-a"] == b"b"
    assert server.sent[1:] == [{"type": "http.response.body", "body": b"", "more_body": False}]
    assert answer.upstream.asked == 0
    assert answer.background == ["done"]
    answer.check_closed()


@pytest.mark.parametrize("state", ["silent upstream", "slow client"])
async def test_a_cancel_from_elsewhere_goes_on_up(state: str) -> None:
    answer = Answer(ONE, None)
    server = Server(takes=2 if state == "slow client" else 100)
    task = server.start(answer.response)
    await server.until_body(ONE_MASKED)
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert answer.outcome == "cancelled"
    answer.check_closed()


async def test_both_at_once_still_goes_on_up() -> None:
    for leave_first in (True, False):
        answer = Answer(ONE, None)
        server = Server()
        task = server.start(answer.response)
        await server.until_body(ONE_MASKED)
        if leave_first:
            server.leave()
            await asyncio.sleep(0)  # the departure is heard
            await asyncio.sleep(0)
        task.cancel()
        server.leave()
        with pytest.raises(asyncio.CancelledError):
            await task
        answer.check_closed()


async def test_every_moment_of_a_cancel_and_a_departure() -> None:
    """The task is cancelled, or not, k turns after the client left: a foreign cancel is never swallowed."""
    for turns in range(30):
        answer = Answer(ONE, None)
        server = Server()
        task = server.start(answer.response)
        await server.until_body(ONE_MASKED)
        server.leave()
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
        assert answer.outcome == "cancelled"
        while others():  # a cancelled wait for the watcher
            await asyncio.sleep(0)
        answer.check_closed()


async def test_a_departure_leaves_the_task_as_it_was() -> None:
    answer = Answer(ONE, None)
    server = Server()

    async def caller() -> int:
        await server.run(answer.response)
        await asyncio.sleep(0)  # would raise a cancel that was left over
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    task = asyncio.create_task(caller())
    await server.until_body(ONE_MASKED)
    server.leave()
    assert await task == 0


async def test_a_timeout_around_it_is_a_timeout() -> None:
    answer = Answer(ONE, None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Server().run(answer.response)
    assert answer.outcome == "cancelled"
    answer.check_closed()


async def test_requests_that_still_come_are_no_departure() -> None:
    rest: list[dict[str, Any]] = [{"type": "http.request", "body": b"x", "more_body": True}] * 3
    server = await Server(requests=rest).run(Answer(ONE, DONE).response)
    assert server.complete

    # An old server repeats the end of the request for ever, without a pause.
    answer = Answer(ONE, None)
    gone = False
    server = Server()

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"} if gone else {"type": "http.request", "body": b"", "more_body": False}

    task = asyncio.create_task(answer.response(server.scope, receive, server.send))  # type: ignore[arg-type]
    await server.until_body(ONE_MASKED)
    gone = True
    await task
    answer.check_closed()


async def test_a_receive_that_fails_fails_the_response() -> None:
    answer = Answer(ONE, None)
    server = Server()
    fail = asyncio.Event()

    async def receive() -> Any:
        await fail.wait()
        raise LookupError("receive")

    task = asyncio.create_task(answer.response(server.scope, receive, server.send))
    await server.until_body(ONE_MASKED)
    fail.set()
    with pytest.raises(LookupError, match="receive"):
        await task
    answer.check_closed()


async def test_a_receive_that_takes_its_time_to_be_cancelled_is_waited_for() -> None:
    """As that of a BaseHTTPMiddleware does, which has a task group of its own."""
    server = Server()
    asked = asyncio.Event()

    async def receive() -> Any:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)

    async def stream() -> AsyncIterator[bytes]:
        await asked.wait()
        yield ONE

    await EventStreamResponse(stream())(server.scope, receive, server.send)
    assert server.complete
    assert not others()


async def test_a_disconnect_after_the_response_is_complete_is_none() -> None:
    """Servers say so to everyone who still asks; the background task must run."""
    answer = Answer(ONE, DONE)
    server = Server()

    async def send(message: Any) -> None:
        await server.send(message)
        if not message.get("more_body", True):
            server.leave()
            for _ in range(5):
                await asyncio.sleep(0)

    await answer.response(server.scope, server.receive, send)
    assert answer.outcome == "completed"
    assert answer.background == ["done"]
    answer.check_closed()


async def generator(upstream: Upstream) -> AsyncIterator[bytes]:
    try:
        async for chunk in upstream:
            yield chunk
    finally:
        await upstream.aclose()


class Bare:
    """An async iterable with nothing to close."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield ONE


async def test_any_async_iterable_will_do() -> None:
    assert (await Server().run(EventStreamResponse(Bare()))).body == ONE
    for wrapped in (lambda upstream: upstream, generator):
        upstream = Upstream(ONE, DONE)
        server = await Server().run(EventStreamResponse(wrapped(upstream)))
        assert server.parts == [ONE, DONE]
        assert server.complete
        assert upstream.closed == 1

        upstream = Upstream(ONE, None)
        server = Server()
        task = server.start(EventStreamResponse(wrapped(upstream)))
        await server.until_body(ONE)
        server.leave()
        await task
        assert upstream.closed == 1


async def test_a_stream_that_swallows_the_cancel_ends_with_the_next_chunk() -> None:
    closed = []

    async def stubborn() -> AsyncIterator[bytes]:
        try:
            while True:
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
                yield ONE
        finally:
            closed.append(True)

    server = Server()
    task = server.start(EventStreamResponse(stubborn()))
    await server.until(lambda server: len(server.sent) == 2)
    server.leave()
    await task
    assert server.body == b""
    assert closed == [True]
    assert not others()


async def test_errors_of_use() -> None:
    with pytest.raises(TypeError, match="stream is 'list', not a RewriteStream"):
        EventStreamResponse([ONE])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="header 'x-a' has CR, LF or NUL"):
        Answer(headers={"x-a": "b\r\n\r\nc"})
    answer = Answer(ONE)
    server = Server()
    server.scope["type"] = "websocket"
    with pytest.raises(RuntimeError, match="answers http requests, not 'websocket'"):
        await server.run(answer.response)
    answer.check_closed()


def test_without_starlette_the_import_says_what_to_do() -> None:
    code = "import sys; sys.modules['starlette'] = None; import sse_fast.asgi"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("ModuleNotFoundError: sse_fast.asgi needs starlette: pip install starlette\n")
