"""The least that a proxy is: uvicorn, a client and nothing between. `python benches/gateway/bare.py --help`."""

import argparse
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]
Ask = Callable[[bytes], AsyncIterator[bytes]]
HEADERS = {"content-type": "application/json", "accept-encoding": "identity"}


async def with_aiohttp(url: str, stack: AsyncExitStack) -> Ask:
    import aiohttp

    session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))

    async def ask(body: bytes) -> AsyncIterator[bytes]:
        async with session.post(url, data=body, headers=HEADERS) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    return ask


async def _with_httpx(library: Any, url: str, stack: AsyncExitStack) -> Ask:
    limits = library.Limits(max_connections=None)
    client = await stack.enter_async_context(library.AsyncClient(limits=limits, timeout=None, trust_env=False))

    async def ask(body: bytes) -> AsyncIterator[bytes]:
        async with client.stream("POST", url, content=body, headers=HEADERS) as response:
            async for chunk in response.aiter_raw():
                yield chunk

    return ask


async def with_httpx(url: str, stack: AsyncExitStack) -> Ask:
    import httpx

    return await _with_httpx(httpx, url, stack)


async def with_httpx2(url: str, stack: AsyncExitStack) -> Ask:
    import httpx2

    return await _with_httpx(httpx2, url, stack)


CLIENTS = {"aiohttp": with_aiohttp, "httpx": with_httpx, "httpx2": with_httpx2}


class App:
    def __init__(self, url: str, client: str) -> None:
        self.url, self.client = url, client

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await receive()
            async with AsyncExitStack() as stack:
                self.ask = await CLIENTS[self.client](self.url, stack)
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        content, more = b"", True
        while more:
            message = await receive()
            content += message.get("body", b"")
            more = message.get("more_body", False)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "POST":
            async for chunk in self.ask(content):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--upstream", required=True, metavar="URL")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--client", choices=CLIENTS, default="aiohttp")
    parser.add_argument("--http", choices=("httptools", "h11"), default="httptools")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    given = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", given.port), backlog=2048)
    app: Any = App(given.upstream, given.client)
    config = uvicorn.Config(app, http=given.http, loop=given.loop, lifespan="on", log_level="error")
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()
