"""An HTTP/2 upstream (prior knowledge, no TLS) that can reset a stream and leave the connection alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

import pytest

from live.upstream import listener


class Exchange2:
    """One stream of the connection."""

    def __init__(self, script: Callable[[Exchange2], Awaitable[None]]) -> None:
        self.script = script
        self.gone = asyncio.Event()
        """The gateway has reset the stream, or closed the connection."""

    def begin(self, peer: _Peer, stream_id: int) -> None:
        self._peer = peer
        self._id = stream_id

    async def head(self) -> None:
        self._peer.state.send_headers(self._id, [(":status", "200"), ("content-type", "text/event-stream")])
        self._peer.flush()

    async def body(self, data: bytes) -> None:
        self._peer.state.send_data(self._id, data)
        self._peer.flush()

    async def end(self) -> None:
        self._peer.state.end_stream(self._id)
        self._peer.flush()

    def reset(self) -> None:
        self._peer.state.reset_stream(self._id, error_code=2)  # INTERNAL_ERROR
        self._peer.flush()


class Upstream2:
    """Scripts by path; any number of streams on one connection."""

    def __init__(self) -> None:
        pytest.importorskip("h2")
        self.expected: dict[str, Exchange2] = {}
        self.peers: list[_Peer] = []

    def expect(self, path: str, script: Callable[[Exchange2], Awaitable[None]]) -> Exchange2:
        self.expected[path] = exchange = Exchange2(script)
        return exchange

    async def __aenter__(self) -> Self:
        listening = listener()
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = await asyncio.get_running_loop().create_server(lambda: _Peer(self), sock=listening)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for peer in self.peers:
            peer.transport.close()
        scripts = [script for peer in self.peers for script in peer.scripts.values()]
        for script in scripts:
            script.cancel()
        for result in await asyncio.gather(*scripts, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


class _Peer(asyncio.Protocol):
    def __init__(self, upstream: Upstream2) -> None:
        self._upstream = upstream
        self._exchanges: dict[int, Exchange2] = {}
        self.scripts: dict[int, asyncio.Task[None]] = {}

    def connection_made(self, transport: Any) -> None:
        from h2.config import H2Configuration
        from h2.connection import H2Connection

        self.transport = transport
        self._upstream.peers.append(self)
        self.state = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.state.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.state.data_to_send())

    def data_received(self, data: bytes) -> None:
        from h2 import events

        for event in self.state.receive_data(data):
            if isinstance(event, events.RequestReceived):
                exchange = self._upstream.expected[dict(event.headers)[":path"]]
                exchange.begin(self, event.stream_id)
                self._exchanges[event.stream_id] = exchange
                self.scripts[event.stream_id] = asyncio.ensure_future(exchange.script(exchange))
            elif isinstance(event, events.StreamReset):
                self._exchanges[event.stream_id].gone.set()
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        for exchange in self._exchanges.values():
            exchange.gone.set()
