"""An HTTP/1.1 upstream, spoken by hand, that follows a script for each path."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self, TypeAlias

Script: TypeAlias = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request, expected and then served by its script.

    Where the script returns without `end`, the connection is closed with a FIN, wherever the response stood.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked = asyncio.Event()
        """The request has come."""
        self.gone = asyncio.Event()
        """The gateway has closed its side, by FIN or RST."""
        self.gone_at = 0.0
        self.sent = 0
        """Body bytes that the transport took, of which at most its write buffer of 64 KiB is not out."""
        self.ended = False
        self._chunked = True

    def begin(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.asked.set()

    def left(self) -> None:
        if not self.gone.is_set():
            self.gone_at = time.perf_counter()
            self.gone.set()

    async def head(
        self, *, status: int = 200, framing: str = "chunked", headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Status and headers; `framing` is ``chunked``, ``close`` (ends with the connection) or a content-length."""
        self._chunked = framing == "chunked"
        lines = [f"HTTP/1.1 {status} So", *(f"{name}: {value}" for name, value in headers)]
        if not any(name.lower() == "content-type" for name, _ in headers):
            lines.append("content-type: text/event-stream")
        framed = {"chunked": "transfer-encoding: chunked", "close": "connection: close"}
        lines.append(framed.get(framing, f"content-length: {framing}"))
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def body(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self.sent += len(data)

    async def bodies(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            await self.body(chunk)

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n" if self._chunked else b"")
        self.ended = self._chunked

    async def raw(self, data: bytes) -> None:
        """Bytes as they are; waits for room."""
        if self.gone.is_set():
            raise ConnectionResetError("the gateway has left")
        self._writer.write(data)
        await self._writer.drain()

    async def stalls(self, quiet: float, *, enough: int = sys.maxsize) -> None:
        """Wait until nothing has gone out for so many seconds, or enough bytes to be sure that it will come to that."""
        await self.asked.wait()
        still = 0
        while still < 10 and self.sent < enough:  # a stall of the machine is one look
            before = self.sent
            await asyncio.sleep(quiet / 10)
            still = still + 1 if self.sent == before else 0

    def reset(self) -> None:
        reset(self._writer.transport)

    async def hang(self) -> None:
        """Nothing more, until the gateway leaves."""
        await self.gone.wait()


class Upstream:
    """Scripts by path; one exchange for each, on a loopback port of its own."""

    def __init__(self, *, send_buffer: int | None = None) -> None:
        self._send_buffer = send_buffer
        self._expected: dict[str, Exchange] = {}
        self._conversations: set[asyncio.Task[Any]] = set()
        self._errors: list[BaseException] = []

    def expect(self, path: str, script: Script) -> Exchange:
        self._expected[path] = exchange = Exchange(script)
        return exchange

    async def __aenter__(self) -> Self:
        listening = listener(self._send_buffer)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = await asyncio.start_server(self._connected, sock=listening, backlog=4096)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        await self._server.wait_closed()
        if self._errors:
            raise self._errors[0]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.current_task()
        assert conversation is not None
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await self._converse(reader, writer)
        except Exception as error:  # of a script: the test shall hear of it
            self._errors.append(error)
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = asyncio.ensure_future(_request(reader))
        try:
            while path := await request:
                exchange = self._expected[path]
                exchange.begin(writer)
                # Reading on is how one hears that the other side has closed.
                request = asyncio.ensure_future(_request(reader))
                request.add_done_callback(lambda done, left=exchange.left: done.cancelled() or done.result() or left())
                try:
                    await exchange.script(exchange)
                except ConnectionError:  # a write met it first
                    exchange.left()
                if not exchange.ended:
                    return
        finally:
            request.cancel()


async def _request(reader: asyncio.StreamReader) -> str | None:
    """The path of the next request; None where there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, OSError):
        return None
    return head.split(b" ", 2)[1].decode()


def listener(send_buffer: int | None = None) -> socket.socket:
    """A listening socket on a free port; what is accepted inherits its send buffer."""
    listening = socket.socket()
    if send_buffer is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    listening.bind(("127.0.0.1", 0))
    listening.listen(4096)
    listening.setblocking(False)
    return listening


NO_LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER on, with no time: close sends RST instead of FIN."""


def reset(transport: asyncio.WriteTransport) -> None:
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()
