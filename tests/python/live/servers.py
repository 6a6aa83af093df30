"""What runs the gateway: ASGI servers, in the loop of the test, on a loopback port of their own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from live.upstream import listener

# They log each error of an application, with its traceback: here there are many, all asked for.
for name in ("uvicorn.error", "hypercorn.error"):
    logging.getLogger(name).setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Server:
    """A server and the loop it runs on; `serve(app)` gives the port."""

    name: str
    serve: Callable[..., AbstractAsyncContextManager[int]]
    uvloop: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop] | None:
        return pytest.importorskip("uvloop").new_event_loop if self.uvloop else None


@contextlib.asynccontextmanager
async def uvicorn(
    app: Any, *, send_buffer: int | None = None, http: str = "h11", patience: int | None = None
) -> AsyncIterator[int]:
    module = pytest.importorskip("uvicorn")

    class Quiet(module.Server):  # type: ignore[misc,name-defined]
        """Starts and stops by events; leaves the signals to pytest."""

        ready, stop = asyncio.Event(), asyncio.Event()

        def capture_signals(self) -> Any:
            return contextlib.nullcontext()

        async def main_loop(self) -> None:
            await self.on_tick(0)
            self.ready.set()
            await self.stop.wait()

    listening = listener(send_buffer)
    port = listening.getsockname()[1]
    config = module.Config(
        app,
        http=http,
        lifespan="off",
        log_config=None,
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=patience,
    )
    server = Quiet(config)
    serving = asyncio.ensure_future(server.serve([listening]))
    try:
        await server.ready.wait()
        yield port
    finally:
        server.stop.set()
        await serving


def uvicorn_httptools(app: Any, **options: Any) -> AbstractAsyncContextManager[int]:
    pytest.importorskip("httptools")
    return uvicorn(app, http="httptools", **options)


@contextlib.asynccontextmanager
async def hypercorn(app: Any, *, send_buffer: int | None = None) -> AsyncIterator[int]:
    pytest.importorskip("hypercorn")
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    listening = listener(send_buffer)
    port = listening.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.graceful_timeout = 1
    config.errorlog = logging.getLogger("hypercorn.error")
    stop = asyncio.Event()
    serving = asyncio.ensure_future(serve(app, config, shutdown_trigger=stop.wait))
    try:
        yield port
    finally:
        stop.set()
        await serving


SERVERS = [
    Server("uvicorn-asyncio", uvicorn),
    Server("uvicorn-uvloop", uvicorn_httptools, uvloop=True),
    Server("hypercorn", hypercorn),
]
every_server = pytest.mark.parametrize("server", SERVERS, ids=str)
every_library = pytest.mark.parametrize("library", ["httpx", "aiohttp"])
"""What the gateway asks its upstream with."""
