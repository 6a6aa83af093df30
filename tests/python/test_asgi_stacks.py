"""`EventStreamResponse` inside Starlette, FastAPI and their middleware, and over sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
import uvicorn
from asgi_answer import Answer
from asgi_peers import ASKED, DONE, ONE, ONE_MASKED, RULES, TWO, TWO_MASKED, Passing, Server, Upstream
from fastapi import FastAPI
from sse_fast import Rewriter
from sse_fast.aio import RewriteStream, StreamReport
from sse_fast.asgi import EventStreamResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

pytestmark = pytest.mark.anyio


# In frameworks.


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
