"""An upstream, the gateway and a front, and clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived

from gateway.bodies import CHAT, CHAT_STREAM, DONE, ask, chat_chunk
from gateway.proxies.fronts import Front
from gateway.running import NO_TLS, Records, config, records, serving
from gateway.upstream import Reply, Upstream

ALIAS = {"models": {"fast": "real-1"}}
EXPECTED = b"".join(CHAT_STREAM).replace(b'"real-1"', b'"fast"')
"""What a client gets of `CHAT_STREAM`."""
NO_COMPRESSION = {"accept-encoding": "identity"}
COMPRESSION = {"accept-encoding": "gzip, deflate, br, zstd"}


@dataclass(frozen=True)
class Scene:
    """URLs, the upstream, and what the gateway told of requests."""

    upstream: Upstream
    gateway: str
    front: str
    told: Records

    async def record(self) -> dict[str, Any]:
        """Of the only request, as soon as it is over."""
        (record,) = await self.told.of(1)
        return record


@contextlib.asynccontextmanager
async def scene(front: Front, *replies: Reply, route: Any = ALIAS, **settings: Any) -> AsyncIterator[Scene]:
    """All of it, until the end of the block; routes and settings are the gateway's."""
    async with Upstream() as upstream:
        upstream.will(*replies)
        server = serving(config(upstream.url, route=route, **settings))
        with records() as told:
            async with server as gateway, front.before(gateway) as url:
                yield Scene(upstream, gateway, url, told)


def client(*, http2: bool = False, **options: Any) -> httpx.AsyncClient:
    """A client of its own; HTTP/2 without asking first."""
    options |= {"http1": not http2, "http2": http2, "limits": httpx.Limits(max_connections=None)}
    return httpx.AsyncClient(trust_env=False, timeout=30, verify=NO_TLS, **options)


class Stamped:
    """Chunks of a reply: events that each say when they leave, so many, with pauses between them."""

    def __init__(self, events: int, pause: float) -> None:
        self._events = events
        self._pause = pause

    def __iter__(self) -> Iterator[bytes | float]:
        for number in range(self._events):
            yield chat_chunk(str(number), sent=time.perf_counter())
            yield self._pause
        yield DONE


@dataclass
class Watch:
    """When events arrived."""

    seconds: list[float] = field(default_factory=list)
    """From the upstream to the client, of each."""

    async def ask(self, http: httpx.AsyncClient, url: str, headers: Any) -> None:
        """One stream, to its end."""
        unread = b""
        async with http.stream("POST", url + CHAT, json=ask(), headers=headers) as response:
            async for chunk in response.aiter_bytes():
                now = time.perf_counter()
                *events, unread = (unread + chunk).split(b"\n\n")
                values = [event.removeprefix(b"data: ") for event in events if event != DONE.strip()]
                self.seconds += [now - json.loads(value)["sent"] for value in values]


@contextlib.asynccontextmanager
async def talk(url: str, body: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which a question has been asked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    lines = [f"POST {CHAT} HTTP/1.1", "host: front", "content-type: application/json", f"content-length: {len(body)}"]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    try:
        yield reader, writer
    finally:
        writer.close()


class Connection:
    """HTTP/2, of which httpx leaves streams without a word."""

    def __init__(self, url: str) -> None:
        self._port = int(url.rpartition(":")[2])
        self._state = H2Connection(H2Configuration(client_side=True))
        self._bodies: dict[int, bytes] = defaultdict(bytes)

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._state.initiate_connection()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    def ask(self, stream: int, body: bytes) -> None:
        """Begin a stream of this number."""
        pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", "front"), (":path", CHAT)]
        self._state.send_headers(stream, [*pseudo, ("content-type", "application/json")])
        self._state.send_data(stream, body, end_stream=True)
        self._send()

    def leave(self, stream: int) -> None:
        """With RST_STREAM."""
        self._state.reset_stream(stream, ErrorCodes.CANCEL)
        self._send()

    async def until(self, stream: int, part: bytes) -> None:
        """Read until this part of the stream's body has come."""
        while part not in self._bodies[stream]:
            data = await self._reader.read(1 << 16)
            assert data, "the connection is over"
            for event in self._state.receive_data(data):
                if isinstance(event, DataReceived):
                    self._bodies[event.stream_id] += event.data
            self._send()

    def _send(self) -> None:
        self._writer.write(self._state.data_to_send())
