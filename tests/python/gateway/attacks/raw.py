"""Both sides of the gateway, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Self

from gateway.observed import PATIENCE

# The last request of a conversation: had what stands before it another end, this would be eaten or never answered.
LAST = b"GET /healthz HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n"


async def say(port: int, data: bytes, *, last: bytes = LAST) -> bytes:
    """All that is answered to these bytes, until the gateway closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                writer.write(data + last)
                while part := await reader.read(1 << 16):
                    answer += part
    finally:
        writer.close()
    return answer


def statuses(answer: bytes) -> list[int]:
    """Of all responses."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


def post(
    body: bytes = b'{"model":"m"}', *headers: str, path: str = "/v1/chat/completions", close: bool = True
) -> bytes:
    """A proper request."""
    lines = [f"POST {path} HTTP/1.1", "host: gateway", "content-type: application/json", *headers]
    lines += [f"content-length: {len(body)}", *(["connection: close"] if close else []), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class Bare:
    """An upstream that answers each connection's only request with ``answer``, whatever that is, and closes."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.asked = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = re.search(rb"content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            self.asked += 1
            writer.write(self.answer)
            await writer.drain()
        writer.close()
