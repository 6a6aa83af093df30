"""`RewriteMiddleware` in Starlette and FastAPI, among other middlewares."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import httpx
import pytest
from asgi_peers import ASKED, DONE, ONE, ONE_MASKED, RULES, Passing, Server, Upstream, others
from fastapi import FastAPI
from sse_fast import Rewriter
from sse_fast.aio import RewriteStream
from sse_fast.asgi import EventStreamResponse, RewriteMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

pytestmark = pytest.mark.anyio


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
