"""A client on a bare socket: it reads only when told to, and leaves how it is told to."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Self

from live.upstream import NO_LINGER

CHUNK = 1 << 16


class Client:
    """One GET request and as much of its response as was read."""

    def __init__(self, port: int, path: str, *, headers: bytes = b"", receive_buffer: int | None = None) -> None:
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.setblocking(False)
        self._address = ("127.0.0.1", port)
        self._request = b"GET %b HTTP/1.1\r\nhost: gateway\r\n%b\r\n" % (path.encode(), headers)
        self._unread = bytearray()
        self._chunk_left = 0
        self.status = 0
        self.head = b""
        self.body = bytearray()
        """The body so far, without its transfer coding."""
        self.complete = False
        """The response ended as HTTP says, not because the connection did."""
        self.left_at = 0.0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(self._socket, self._address)
            await loop.sock_sendall(self._socket, self._request)
        except BaseException:
            self._socket.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    async def headers(self) -> None:
        """Read until the head is there."""
        while not self.head and await self.read():
            pass

    async def until(self, length: int) -> None:
        """Read until so many bytes of the body are there; they come, or it is a fault."""
        while len(self.body) < length:
            assert await self.read(), f"the response ended after {len(self.body)} of {length} bytes"

    async def rest(self) -> bytes:
        """The whole body, as far as it came."""
        while await self.read():
            pass
        return bytes(self.body)

    def take(self) -> bytes:
        """The body so far, which is forgotten."""
        body = bytes(self.body)
        self.body.clear()
        return body

    async def read(self, size: int = CHUNK) -> bool:
        """Receive once, at most so many bytes; False where the response is over or the connection broke."""
        if self.complete:
            return False
        try:
            data = await asyncio.get_running_loop().sock_recv(self._socket, size)
        except ConnectionError:
            return False
        self._unread += data
        if not self.head:
            self._read_head()
        if self.head:
            self._read_body()
        return bool(data)

    def close(self) -> None:
        """With a FIN; the kernel makes it a RST where bytes were left unread."""
        self.left_at = time.perf_counter()
        self._socket.close()

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.close()

    def half_close(self) -> None:
        """Nothing more will be sent; servers take it for leaving."""
        self.left_at = time.perf_counter()
        self._socket.shutdown(socket.SHUT_WR)

    def _read_head(self) -> None:
        head, end, rest = self._unread.partition(b"\r\n\r\n")
        if not end:
            return
        self.head, self._unread = bytes(head).lower(), rest
        self.status = int(self.head.split(b" ", 2)[1])
        self._chunked = b"transfer-encoding: chunked" in self.head
        self._length = None
        for line in self.head.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                self._length = int(line.split(b":")[1])

    def _read_body(self) -> None:
        if not self._chunked:
            self.body += self._unread
            self._unread.clear()
            self.complete = len(self.body) == self._length
            return
        at = 0
        while at < len(self._unread):
            if self._chunk_left > 2:  # the chunk's data; the CRLF behind it is the last two
                taken = self._unread[at : at + self._chunk_left - 2]
                self.body += taken
                at += len(taken)
                self._chunk_left -= len(taken)
            elif self._chunk_left:
                self._chunk_left -= 1
                at += 1
            else:
                end = self._unread.find(b"\r\n", at)
                if end < 0:
                    break
                size = int(self._unread[at:end], 16)
                if size == 0:
                    self.complete = True
                    break
                self._chunk_left = size + 2
                at = end + 2
        del self._unread[:at]
