"""The gateway as an ASGI application."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from sse_fast.aiohttp import new_session
from sse_fast.asgi.signals import hearing
from sse_fast.gateway.config import Config
from sse_fast.gateway.proxy import Proxy
from sse_fast.gateway.record import Metrics


def create_app(config: Config) -> ASGIApp:
    """/healthz, /metrics and, for all else, the proxy. It needs a server that runs its lifespan."""
    metrics = Metrics()
    proxy = Proxy(config, metrics)

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "stopping"}, 503) if proxy.stopping else JSONResponse({"status": "ok"})

    async def text(request: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    def hear(number: int) -> bool:
        is_first = not proxy.stopping or number != signal.SIGINT  # a second Ctrl-C means: at once
        proxy.stop() if is_first else proxy.end()
        return is_first

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        with hearing(hear):
            async with new_session(connect=config.timeouts.connect) as proxy.session:
                yield

    routes = [Route("/healthz", healthz), Route("/metrics", text)]
    return Router(routes, default=proxy, redirect_slashes=False, lifespan=lifespan)
