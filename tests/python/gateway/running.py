"""The gateway, running."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import sse_fast
import uvicorn
from live.upstream import listener
from sse_fast.asgi.protocol import Protocol
from sse_fast.gateway import Config, create_app

T = TypeVar("T")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ROOT = Path(sse_fast.__file__).parents[1]


def config(*upstreams: str, **settings: Any) -> Config:
    """A configuration with one route for everything, over these URLs; ``route`` are more keys of it."""
    route = {"path": "/", "upstreams": [{"url": url} for url in upstreams], **settings.pop("route", {})}
    return Config.model_validate({"routes": [route], **settings})


class Server(uvicorn.Server):
    """Leaves the signals to pytest, and does not wait for the clock: `uvicorn.Server` does, 0.2 seconds each time."""

    async def begin(self, listening: socket.socket) -> None:
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup([listening])
        assert not self.lifespan.should_exit
        await self.on_tick(0)

    async def end(self) -> None:
        self.servers[0].close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.tasks or self.server_state.connections:
            await asyncio.sleep(0.001)
        await self.lifespan.shutdown()


@contextlib.asynccontextmanager
async def serving(settings: Config) -> AsyncIterator[str]:
    """In this loop; gives its URL. At the end of the block open requests are waited for."""
    listening = listener()
    options: dict[str, Any] = {"http": Protocol, "ws": "none", "lifespan": "on", "log_config": None}
    server = Server(uvicorn.Config(create_app(settings), access_log=False, **options))
    await server.begin(listening)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await server.end()


def client(url: str = "", **options: Any) -> httpx.AsyncClient:
    """A client of the gateway; it loads no certificates, which takes longer than a test."""
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=20, verify=NO_TLS, **options)


class Records(list[dict[str, Any]]):
    """What the gateway has told of requests, in the order in which they ended."""

    async def of(self, count: int) -> list[dict[str, Any]]:
        """The records of so many requests; a record may be a moment later than the last byte."""
        async with asyncio.timeout(10):
            while len(self) < count:
                await asyncio.sleep(0.005)
        return self


@contextlib.contextmanager
def records() -> Iterator[Records]:
    """What it tells meanwhile, in this process."""
    told = Records()
    handler = logging.Handler()
    handler.emit = lambda record: told.append(json.loads(record.getMessage()))  # type: ignore[method-assign]
    logger = logging.getLogger("sse_fast.gateway.requests")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield told
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class Process:
    """``sse-fast gateway`` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self.process = process
        self.errors = b""
        """What it said on stderr, once it is over."""

    async def record(self) -> Any:
        """The next line on its stdout."""
        assert self.process.stdout is not None
        return json.loads(await self.process.stdout.readline())

    def terminate(self, number: int = signal.SIGTERM) -> None:
        """Ask it to end."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code."""
        assert self.process.stderr is not None
        self.errors += await self.process.stderr.read()
        return await self.process.wait()


async def interrupted(reading: asyncio.Future[T], interrupt: Callable[[], object]) -> T:
    """What is read while it is interrupted again and again: a stalled process takes two signals for one."""
    while not reading.done():
        with contextlib.suppress(ProcessLookupError):
            interrupt()
        for _ in range(10):
            await asyncio.wait({reading}, timeout=0.05)
    return reading.result()


@contextlib.asynccontextmanager
async def process(file: Path, *arguments: str, own_group: bool = False, **environment: str) -> AsyncIterator[Process]:
    """Run it on this file, which should listen on port 0, until the end of the block."""
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "sse_fast", "gateway", "--config", str(file), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=own_group,
    )
    try:
        assert child.stderr is not None
        line = (await child.stderr.readline()).decode()
        match = re.fullmatch(r"sse-fast gateway listens on (http://\S+)\n", line)
        assert match, line + (await child.stderr.read()).decode()
        yield Process(child, match[1])
    finally:
        if child.returncode is None:
            child.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), 10)
        if child.returncode is None:
            child.kill()
            await child.wait()
        child._transport.close()  # type: ignore[attr-defined]  # the pipes, where nobody has read them to their end
