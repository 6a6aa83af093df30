"""The gateway as an ASGI application."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp
from uvicorn.server import HANDLED_SIGNALS

from sse_fast.gateway.config import Config
from sse_fast.gateway.proxy import Proxy
from sse_fast.gateway.record import Metrics
from sse_fast.gateway.upstream import new_session


def create_app(config: Config) -> ASGIApp:
    """/healthz, /metrics and, for all else, the proxy. It needs a server that runs its lifespan."""
    metrics = Metrics()
    proxy = Proxy(config, metrics)

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "stopping"}, 503) if proxy.stopping else JSONResponse({"status": "ok"})

    async def text(request: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        handlers: dict[int, Any] = {}

        def hear(number: int, frame: FrameType | None) -> None:
            if proxy.stopping and number == signal.SIGINT:  # Ctrl-C, once more
                loop.call_soon_threadsafe(proxy.end)
                return
            loop.call_soon_threadsafe(proxy.stop)
            handlers[number](number, frame)

        # The server's own handlers tell applications nothing; each worker has some.
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in HANDLED_SIGNALS}
            handlers = {number: signal.signal(number, hear) for number in handlers if callable(handlers[number])}
        async with new_session(config.timeouts.connect) as proxy.session:
            yield
        for number, handler in handlers.items():
            signal.signal(number, handler)

    routes = [Route("/healthz", healthz), Route("/metrics", text)]
    return Router(routes, default=proxy, redirect_slashes=False, lifespan=lifespan)
