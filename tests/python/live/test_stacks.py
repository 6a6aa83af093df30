"""The gateway inside of other people's middleware, under every server: nothing is held back, who leaves is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from live.client import Client
from live.events import RULES, Stream
from live.gateway import Gateway, proxied
from live.servers import SERVERS, Server, every_server
from live.upstream import Exchange, Upstream
from live.watch import SOON, named, run, soon

STREAM = Stream(10)
SEEN = 3
HEADERS = b"accept-encoding: gzip\r\norigin: http://elsewhere\r\n"


def bare(gateway: Gateway) -> Any:
    return gateway.app


def base_http(gateway: Gateway) -> Any:
    from starlette.middleware.base import BaseHTTPMiddleware

    async def dispatch(request: Any, call_next: Callable[[Any], Any]) -> Any:
        response = await call_next(request)
        response.headers["x-seen"] = "1"
        return response

    return BaseHTTPMiddleware(BaseHTTPMiddleware(gateway.app, dispatch), dispatch)


def gzip_and_cors(gateway: Gateway) -> Any:
    from starlette.middleware.cors import CORSMiddleware
    from starlette.middleware.gzip import GZipMiddleware

    return GZipMiddleware(CORSMiddleware(gateway.app, allow_origins=["*"]), minimum_size=1)


def fastapi(gateway: Gateway) -> Any:
    module = pytest.importorskip("fastapi")
    app = module.FastAPI()

    async def session() -> AsyncIterator[None]:
        yield

    async def answer(request: Any, session: Any) -> Any:
        return await gateway.answer(request)

    answer.__annotations__ = {"request": module.Request, "session": Any}
    answer.__defaults__ = (module.Depends(session),)
    app.get("/{path:path}", response_model=None)(answer)
    return app


def fastapi_with_all_of_it(gateway: Gateway) -> Any:
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.gzip import GZipMiddleware

    async def dispatch(request: Any, call_next: Callable[[Any], Any]) -> Any:
        return await call_next(request)

    app = fastapi(gateway)
    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    app.add_middleware(GZipMiddleware, minimum_size=1)
    return app


STACKS = [bare, base_http, gzip_and_cors, fastapi, fastapi_with_all_of_it]
every_stack = pytest.mark.parametrize("stack", STACKS, ids=lambda stack: stack.__name__)


@every_server
@every_stack
def test_each_event_leaves_at_once_and_who_leaves_is_heard(server: Server, stack: Callable[[Gateway], Any]) -> None:
    async def scenario() -> None:
        async with proxied(server, stack=stack) as (upstream, gateway, port):

            async def complete(path: str, **options: Any) -> None:
                taken = asyncio.Semaphore(0)

                async def answer(exchange: Exchange) -> None:
                    await exchange.head(headers=[("x-request-id", "7")])
                    for event in STREAM.sent:
                        await taken.acquire()
                        await exchange.body(event)
                    await exchange.end()

                upstream.expect(path, answer)
                plan = gateway.plan(path, **options)
                async with Client(port, path, headers=HEADERS) as client:
                    await soon(client.headers())  # they do not wait for the first event
                    assert b"content-encoding" not in client.head
                    received = 0
                    for event in STREAM.expected:
                        taken.release()
                        received += len(event)
                        await soon(client.until(received))
                    assert await soon(client.rest()) == STREAM.output
                    assert client.complete
                    assert b"x-request-id: 7\r\n" in client.head + b"\r\n" or options.get("opens_late")
                    assert b"\r\ncache-control: no-cache, no-transform\r\n" in client.head + b"\r\n"
                assert await plan.outcome() == "completed"

            async def left(path: str, seen: int, leave: Callable[[Client], None], **options: Any) -> None:
                async def answer(exchange: Exchange) -> None:
                    await exchange.head()
                    await exchange.bodies(STREAM.sent[:seen])
                    await exchange.hang()

                exchange = upstream.expect(path, answer)
                plan = gateway.plan(path, **options)
                async with Client(port, path, headers=HEADERS) as client:
                    await soon(client.headers())
                    await soon(exchange.asked.wait())
                    await soon(client.until(len(b"".join(STREAM.expected[:seen]))))
                    leave(client)
                    await soon(exchange.gone.wait())
                    assert await plan.outcome() == "cancelled"

            async with asyncio.TaskGroup() as group:
                for heartbeat in (None, 3600):
                    for late in (False, True):
                        name = f"/{heartbeat}/{late}"
                        options = {"heartbeat": heartbeat, "opens_late": late}
                        group.create_task(named(name, complete(f"{name}/complete", **options)))
                        for seen in (0, SEEN):
                            for leave in (Client.close, Client.reset):
                                path = f"{name}/{seen}/{leave.__name__}"
                                group.create_task(named(path, left(path, seen, leave, **options)))

    run(scenario(), server.loop_factory)


@every_server
def test_the_middleware_around_an_application_that_streams(server: Server) -> None:
    from sse_fast.asgi import RewriteMiddleware
    from starlette.applications import Starlette
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    async def scenario() -> None:
        taken = asyncio.Semaphore(0)
        outcomes: list[Any] = []

        async def told_of(count: int) -> None:
            async with asyncio.timeout(SOON):
                while len(outcomes) < count:
                    await asyncio.sleep(0.005)

        async def events() -> AsyncIterator[bytes]:
            for event in STREAM.sent:
                await taken.acquire()
                yield event

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield STREAM.sent[0]
                await asyncio.sleep(0.001)

        async def dying() -> AsyncIterator[bytes]:
            yield STREAM.sent[0] + STREAM.sent[1][:20]
            raise LookupError("a bug in the application")

        def respond(body: Callable[[], AsyncIterator[bytes]]) -> Callable[[Any], Any]:
            return lambda request: StreamingResponse(body(), media_type="text/event-stream")

        routes = [Route(f"/{body.__name__}", respond(body)) for body in (events, endless, dying)]
        app = Starlette(routes=routes)
        told = RewriteMiddleware(app, RULES, on_end=lambda report: outcomes.append(report.outcome))
        async with server.serve(told) as port:
            async with Client(port, "/events") as client:
                await soon(client.headers())
                received = 0
                for event in STREAM.expected:
                    taken.release()
                    received += len(event)
                    await soon(client.until(received))
                assert await soon(client.rest()) == STREAM.output
                assert client.complete
            await told_of(1)
            assert outcomes == ["completed"]

            async with Client(port, "/dying") as client:
                assert await soon(client.rest()) == STREAM.expected[0]
                assert not client.complete
            await told_of(2)
            assert outcomes == ["completed", "upstream_error"]

            for leave in (Client.close, Client.reset):
                async with Client(port, "/endless") as client:
                    await soon(client.until(1000))
                    leave(client)
                    await told_of(3 + (leave is Client.reset))
            assert outcomes[2:] == ["cancelled", "cancelled"]

        outcomes.clear()
        gently = RewriteMiddleware(app, RULES, errors="event", on_end=lambda report: outcomes.append(report.outcome))
        async with server.serve(gently) as port:
            async with Client(port, "/dying") as client:
                assert (await soon(client.rest())).startswith(STREAM.expected[0] + b"event: error\n")
                assert client.complete
            await told_of(1)
            assert outcomes == ["upstream_error"]

    run(scenario(), server.loop_factory)


@every_server
@pytest.mark.parametrize("heartbeat", [None, 3600])
def test_a_time_limit_around_the_application(server: Server, heartbeat: float | None) -> None:
    """A cancel that is not of the client's making goes on up: the limit hears of it, and nothing is left of it."""

    async def hang(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.bodies(STREAM.sent[:SEEN])
        await exchange.hang()

    async def scenario() -> None:
        async with Upstream() as upstream, Gateway(upstream.url) as gateway:

            async def limited(scope: Any, receive: Any, send: Any) -> None:
                try:
                    async with asyncio.timeout(None) as limit:
                        if scope["type"] == "http":
                            limits.append(limit)
                        await gateway.app(scope, receive, send)
                except TimeoutError as error:
                    raised.append((error, asyncio.current_task().cancelling()))  # type: ignore[union-attr]

            limits: list[asyncio.Timeout] = []
            raised: list[tuple[TimeoutError, int]] = []
            exchange = upstream.expect("/", hang)
            plan = gateway.plan("/", heartbeat=heartbeat)
            async with server.serve(limited) as port, Client(port, "/") as client:
                await soon(client.until(len(b"".join(STREAM.expected[:SEEN]))))
                (limit,) = limits
                limit.reschedule(asyncio.get_running_loop().time())
                assert await soon(client.rest()) == b"".join(STREAM.expected[:SEEN])
                assert not client.complete
                await soon(exchange.gone.wait())
            assert [cancelling for _, cancelling in raised] == [0]
            assert await plan.outcome() == "cancelled"

    run(scenario(), server.loop_factory)


def test_an_http2_client_that_resets_its_stream() -> None:
    """Under hypercorn, which speaks it; the other stream of the connection goes on."""
    pytest.importorskip("h2")
    server = SERVERS[2]

    async def scenario() -> None:
        has_left = asyncio.Event()

        async def hang(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.bodies(STREAM.sent[:SEEN])
            await exchange.hang()

        async def live(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.bodies(STREAM.sent[:SEEN])
            await has_left.wait()
            await exchange.bodies(STREAM.sent[SEEN:])
            await exchange.end()

        async with proxied(server) as (upstream, gateway, port):
            left = upstream.expect("/left", hang)
            upstream.expect("/lives", live)
            plans = {path: gateway.plan(path) for path in ("/left", "/lives")}
            client = await H2Client.connect(port)
            try:
                await soon(client.until(client.get("/left"), len(b"".join(STREAM.expected[:SEEN]))))
                lives = client.get("/lives")
                await soon(client.until(lives, 1))
                client.reset(1)
                await soon(left.gone.wait())
                has_left.set()
                await soon(client.until(lives, len(STREAM.output)))
                assert client.bodies[lives] == STREAM.output
            finally:
                await client.close()
            assert await plans["/left"].outcome() == "cancelled"
            assert await plans["/lives"].outcome() == "completed"

    run(scenario())


class H2Client:
    """Just enough of an HTTP/2 client (prior knowledge) to leave a stream and keep the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from h2.connection import H2Connection

        self._reader, self._writer = reader, writer
        self._state = H2Connection()
        self._state.initiate_connection()
        self._flush()
        self.bodies: dict[int, bytes] = {}

    @classmethod
    async def connect(cls, port: int) -> H2Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def _flush(self) -> None:
        self._writer.write(self._state.data_to_send())

    def get(self, path: str) -> int:
        stream = self._state.get_next_available_stream_id()
        headers = {":method": "GET", ":path": path, ":scheme": "http", ":authority": "gateway"}
        self._state.send_headers(stream, list(headers.items()), end_stream=True)
        self._flush()
        self.bodies[stream] = b""
        return stream

    async def until(self, stream: int, length: int) -> None:
        from h2.events import DataReceived

        while len(self.bodies[stream]) < length:
            data = await self._reader.read(1 << 16)
            assert data
            for event in self._state.receive_data(data):
                if isinstance(event, DataReceived):
                    self.bodies[event.stream_id] += event.data
            self._flush()

    def reset(self, stream: int) -> None:
        self._state.reset_stream(stream, error_code=8)  # CANCEL
        self._flush()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()
