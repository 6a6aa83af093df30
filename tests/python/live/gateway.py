"""The gateway under test: a reverse proxy as a caller would write it, `EventStreamResponse` over `RewriteStream`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, fields
from typing import Any, Self

import pytest
from sse_fast import Rewriter
from sse_fast.aio import RewriteStream, StreamReport

from live.events import RULES
from live.servers import Server
from live.upstream import Upstream
from live.watch import soon


@dataclass
class Plan:
    """What the gateway does with the requests of one path, and what came of it."""

    options: dict[str, Any] = field(default_factory=dict)
    """Of `RewriteStream`."""
    rewriter: dict[str, Any] = field(default_factory=dict)
    """Of `Rewriter`."""
    opens_late: bool = False
    """The upstream is asked within the stream, when the client has its headers already."""
    peeks: bool = False
    """An error before the first event becomes a 502."""
    timeout: float | None = None
    """Of each read, by the client library."""
    prepare: Callable[[RewriteStream], object] | None = None
    """Called with the stream before its first chunk."""
    reports: list[StreamReport] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def on_end(self, report: StreamReport) -> None:
        self.reports.append(report)
        self.over.set()

    async def report(self) -> StreamReport:
        """The only one."""
        await soon(self.over.wait())
        (report,) = self.reports
        return report

    async def outcome(self) -> str | None:
        """Of the only report."""
        return (await self.report()).outcome


class Gateway:
    """An ASGI application in front of one upstream; `library` is the client it uses, httpx or aiohttp."""

    def __init__(self, upstream: str, library: str = "httpx", *, http2: bool = False) -> None:
        self._upstream = upstream
        self._library = library
        self._http2 = http2
        self.plans: dict[str, Plan] = {}
        route = pytest.importorskip("starlette.routing").Route("/{path:path}", self.answer)
        self.app: Any = pytest.importorskip("starlette.applications").Starlette(routes=[route])

    def plan(self, path: str, **options: Any) -> Plan:
        names = {each.name for each in fields(Plan)}
        own = {name: options.pop(name) for name in names & options.keys()}
        self.plans[path] = plan = Plan(options=options, **own)
        return plan

    async def __aenter__(self) -> Self:
        self._client: Any
        if self._library == "aiohttp":
            aiohttp = pytest.importorskip("aiohttp")
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        else:
            httpx = pytest.importorskip("httpx")
            self._client = httpx.AsyncClient(
                http1=not self._http2,
                http2=self._http2,
                timeout=None,
                limits=httpx.Limits(max_connections=None),
                trust_env=False,
                verify=False,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        await (self._client.close() if self._library == "aiohttp" else self._client.aclose())

    async def answer(self, request: Any) -> Any:
        from sse_fast.asgi import EventStreamResponse
        from starlette.responses import JSONResponse

        path = request.url.path
        plan = self.plans[path]
        headers: Any = ()
        if plan.opens_late:
            source = self._late(path)
        else:
            try:
                source = await self._ask(path)
            except Exception as error:
                return JSONResponse({"error": type(error).__name__}, status_code=502)
            headers = source.headers
        stream = RewriteStream(source, Rewriter(RULES, **plan.rewriter), on_end=plan.on_end, **plan.options)
        if plan.prepare is not None:
            plan.prepare(stream)
        if plan.peeks:
            try:
                await stream.peek()
            except Exception as error:
                return JSONResponse({"error": type(error).__name__}, status_code=502)
        return EventStreamResponse(stream, headers=headers)

    async def _ask(self, path: str) -> Any:
        timeout = self.plans[path].timeout
        if self._library == "aiohttp":
            from aiohttp import ClientTimeout

            return await self._client.get(self._upstream + path, timeout=ClientTimeout(total=None, sock_read=timeout))
        request = self._client.build_request("GET", self._upstream + path, timeout=timeout)
        return await self._client.send(request, stream=True)

    async def _late(self, path: str) -> AsyncIterator[bytes]:
        response = await self._ask(path)
        try:
            async for chunk in response.content.iter_any() if self._library == "aiohttp" else response.aiter_bytes():
                yield chunk
        finally:
            await response.aclose() if self._library == "httpx" else response.close()


@contextlib.asynccontextmanager
async def proxied(
    server: Server,
    library: str = "httpx",
    *,
    stack: Callable[[Gateway], Any] = lambda gateway: gateway.app,
    buffers: int | None = None,
) -> AsyncIterator[tuple[Upstream, Gateway, int]]:
    """An upstream, a gateway before it, and the port of that; `buffers` is the size of the sockets' that send."""
    async with (
        Upstream(send_buffer=buffers) as upstream,
        Gateway(upstream.url, library) as gateway,
        server.serve(stack(gateway), send_buffer=buffers) as port,
    ):
        yield upstream, gateway, port
