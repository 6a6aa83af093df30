"""`EventStreamResponse`: by hand, and inside Starlette, FastAPI and their middleware."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
import uvicorn
from asgi_peers import Server, Upstream, others
from fastapi import FastAPI
from sse_fast import Capture, Replace, Rewriter
from sse_fast.aio import RewriteStream, StreamReport
from sse_fast.asgi import EventStreamResponse
from sse_fast.errors import TruncatedError
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

pytestmark = pytest.mark.anyio

ONE, TWO = b'data: {"model":"x","n":1}\n\n', b'data: {"model":"x","n":2}\n\n'
DONE = b"data: [DONE]\n\n"
ONE_MASKED, TWO_MASKED = ONE.replace(b'"x"', b'"alias"'), TWO.replace(b'"x"', b'"alias"')
RULES = [Replace("$.model", "alias"), Capture("n", "$.n")]


class Answer:
    """A response over an upstream, with its reports."""

    def __init__(
        self, *script: bytes | Exception | None, options: dict[str, Any] | None = None, **response: Any
    ) -> None:
        self.upstream = Upstream(*script)
        self.reports: list[StreamReport] = []
        stream = RewriteStream(self.upstream, Rewriter(RULES), on_end=self.reports.append, **options or {})
        self.background: list[str] = []
        background = BackgroundTask(self.background.append, "done")
        self.response = EventStreamResponse(stream, background=background, **response)

    @property
    def outcome(self) -> str | None:
        (report,) = self.reports
        return report.outcome

    def check_closed(self) -> None:
        """The upstream is closed, once, reported once, and nothing is left of it."""
        assert self.upstream.closed == 1
        assert len(self.reports) == 1
        assert not others()


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


# In frameworks.


class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        return await call_next(request)


class Reading(BaseHTTPMiddleware):
    """Reads the request's body first, which changes what `receive` says."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        await request.body()
        return await call_next(request)


STACKS: dict[str, list[Middleware]] = {
    "bare": [],
    "gzip": [Middleware(GZipMiddleware, minimum_size=0)],
    "cors": [Middleware(CORSMiddleware, allow_origins=["*"])],
    "base": [Middleware(Passing)],
    "base, reading": [Middleware(Reading)],
    "all": [
        Middleware(Reading),
        Middleware(GZipMiddleware, minimum_size=0),
        Middleware(Passing),
        Middleware(CORSMiddleware, allow_origins=["*"]),
    ],
}
ASKED = [(b"accept-encoding", b"gzip"), (b"origin", b"http://o")]
App = Callable[..., Any]


def starlette_app(answer: Answer, stack: str) -> App:
    async def endpoint(request: Request) -> Response:
        return answer.response

    return Starlette(routes=[Route("/", endpoint, methods=["GET", "POST"])], middleware=STACKS[stack])


def fastapi_app(answer: Answer, stack: str) -> App:
    app = FastAPI(middleware=STACKS[stack])

    @app.api_route("/", methods=["GET", "POST", "HEAD"], response_class=EventStreamResponse)
    async def endpoint() -> EventStreamResponse:
        return answer.response

    return app


FRAMEWORKS = pytest.mark.parametrize("framework", [starlette_app, fastapi_app], ids=["starlette", "fastapi"])
IN_STACKS = pytest.mark.parametrize("stack", STACKS)


@FRAMEWORKS
@IN_STACKS
async def test_streams_in_frameworks(framework: Callable[..., App], stack: str) -> None:
    answer = Answer(ONE, TWO, DONE)
    server = await Server(headers=ASKED).run(framework(answer, stack))
    assert server.parts == [ONE_MASKED, TWO_MASKED, DONE]
    assert server.complete
    assert b"content-encoding" not in server.headers
    assert answer.outcome == "completed"
    assert answer.background == ["done"]
    answer.check_closed()


@FRAMEWORKS
@IN_STACKS
@pytest.mark.parametrize("send_raises", [False, True])
async def test_F24_a_departure_is_seen_in_frameworks(
    framework: Callable[..., App], stack: str, send_raises: bool
) -> None:
    for script in ([ONE, None], [None]):
        answer = Answer(*script)
        server = Server(headers=ASKED, send_raises=send_raises, spec_version="2.4" if send_raises else "2.3")
        task = server.start(framework(answer, stack))
        await server.until_body(ONE_MASKED if script[0] else b"")
        while answer.upstream.script:  # until it waits for more
            await asyncio.sleep(0)
        server.leave()
        with suppress(OSError):  # what middleware of Starlette sends to the client that has left
            await task
        assert answer.outcome == "cancelled"
        answer.check_closed()


@FRAMEWORKS
@pytest.mark.parametrize("stack", [stack for stack in STACKS if stack != "all"])
async def test_F31_headers_leave_at_once_in_frameworks(framework: Callable[..., App], stack: str) -> None:
    """Not so everywhere: a BaseHTTPMiddleware drops the empty body that an older GZipMiddleware around it waits for."""
    answer = Answer(None)
    server = Server(headers=ASKED)
    task = server.start(framework(answer, stack))
    await server.until(lambda server: len(server.sent) >= 1)
    assert server.headers[b"content-type"].startswith(b"text/event-stream")
    server.leave()
    await task
    answer.check_closed()


@FRAMEWORKS
@IN_STACKS
async def test_an_error_goes_up_in_frameworks(framework: Callable[..., App], stack: str) -> None:
    answer = Answer(ONE, ValueError("broken"))
    server = Server(headers=ASKED)
    with pytest.raises(ValueError, match="broken"):
        await server.run(framework(answer, stack))
    assert server.body == ONE_MASKED
    # A BaseHTTPMiddleware ends the response all the same: there only errors="event" tells the client.
    assert server.complete == ("base" in stack or stack == "all")
    answer.check_closed()


@FRAMEWORKS
@IN_STACKS
async def test_F27_errors_as_events_in_frameworks(framework: Callable[..., App], stack: str) -> None:
    answer = Answer(ONE, ValueError("broken"), options={"errors": "event"})
    server = await Server(headers=ASKED).run(framework(answer, stack))
    assert server.body.startswith(ONE_MASKED + b"event: error\n")
    assert server.complete
    answer.check_closed()


@FRAMEWORKS
@IN_STACKS
async def test_HEAD_in_frameworks(framework: Callable[..., App], stack: str) -> None:
    answer = Answer(ONE, None)
    server = await Server("HEAD", headers=ASKED).run(framework(answer, stack))
    assert server.headers[b"content-type"].startswith(b"text/event-stream")
    assert server.body == b""
    assert answer.upstream.asked == 0
    answer.check_closed()


async def test_through_httpx() -> None:
    answer = Answer(ONE, DONE)
    transport = httpx.ASGITransport(fastapi_app(answer, "all"))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post("/", json={"model": "m"})
    assert response.content == ONE_MASKED + DONE
    assert response.headers["cache-control"] == "no-cache, no-transform"
    answer.check_closed()


# Over a socket.


@asynccontextmanager
async def served(app: App, http: str) -> AsyncIterator[str]:
    """The app under uvicorn; its address."""
    config = uvicorn.Config(app, http=http, ws="none", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server._serve([listener]))  # `serve` would take the signals of the test run
        while not server.started:
            await asyncio.sleep(0.001)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            await task


@pytest.mark.parametrize("http", ["h11", "httptools"])
@IN_STACKS
async def test_F24_a_departure_closes_the_upstream_under_uvicorn(http: str, stack: str) -> None:
    report: asyncio.Future[StreamReport] = asyncio.get_running_loop().create_future()
    upstream = Upstream(ONE, None)
    stream = RewriteStream(upstream, Rewriter(RULES), on_end=report.set_result)

    async def endpoint(request: Request) -> Response:
        return EventStreamResponse(stream)

    app = Starlette(routes=[Route("/", endpoint, methods=["POST"])], middleware=STACKS[stack])
    async with served(app, http) as address, httpx.AsyncClient() as client:
        async with client.stream("POST", address, json={"stream": True}) as response:
            assert await anext(response.aiter_bytes()) == ONE_MASKED
            assert len(response.headers.get_list("date")) == 1
        assert (await asyncio.wait_for(report, 10)).outcome == "cancelled"
    assert upstream.closed == 1


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_F26_an_error_breaks_the_connection_under_uvicorn(http: str) -> None:
    answer = Answer(ONE, ValueError("broken"))
    async with served(starlette_app(answer, "gzip"), http) as address, httpx.AsyncClient() as client:
        response = await client.send(client.build_request("GET", address), stream=True)
        chunks = response.aiter_bytes()
        assert await anext(chunks) == ONE_MASKED
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(chunks)
    assert answer.upstream.closed == 1
