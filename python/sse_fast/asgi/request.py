"""The body of a request, for whoever also waits for the client to leave.

Both are told by `receive`, which only one can call: `RequestBody` does, and `departure` is what it leaves to
`sse_fast.asgi.client.Client`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.types import Message, Receive, Scope

from sse_fast.asgi.messages import values
from sse_fast.errors import RefusalError


class RequestBody:
    """A body while it comes: an async iterable of bytes, none of them empty, that can be read once.

    ``limit`` is in bytes, ``seconds`` are for all of it. A reader whose client leaves is not told: it waits until
    `Client` cancels it.
    """

    exists: bool
    """The request has a body."""
    length: int
    """What Content-Length says, else 0."""
    begun: bool
    """It is being read, or has been."""

    def __init__(self, scope: Scope, receive: Receive, *, limit: int, seconds: float) -> None:
        self.length = int(b"".join(values(scope["headers"], b"content-length")[:1]) or 0)
        self.exists = self.length > 0 or bool(values(scope["headers"], b"transfer-encoding"))
        self.begun = False
        self._ended = not self.exists
        self._receive = receive
        self._limit = limit
        self._seconds = seconds
        self._left = False
        self._over = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Read it. `RefusalError` with 413 where it is too large, 408 where it takes too long."""
        self.begun = True
        size, end = 0, asyncio.get_running_loop().time() + self._seconds
        try:
            while not self._ended:
                async with asyncio.timeout_at(end):
                    message = await self._receive()
                if message["type"] == "http.disconnect":
                    self._left = True
                    self._over.set()
                    await asyncio.Future()
                chunk, self._ended = message.get("body", b""), not message.get("more_body", False)
                size += len(chunk)
                self.check(size)
                if chunk:
                    yield chunk
        except TimeoutError:
            raise RefusalError(408, f"the request's body took longer than {self._seconds:g} seconds") from None
        finally:
            self._over.set()

    def check(self, size: int) -> None:
        """Refuse a body of so many bytes, if it is too large."""
        if size > self._limit:
            raise RefusalError(413, f"the request's body is larger than {self._limit} bytes")

    async def discard(self, *, seconds: float, idle: float) -> None:
        """Read on, for so long at most, after an answer that did not wait for the end.

        A connection that is closed with bytes unread is reset, and the answer may be lost.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._ended:
                    async with asyncio.timeout(idle):
                        message = await self._receive()
                    self._ended = not message.get("more_body", False)

    async def departure(self) -> Message:
        """The next message that is not of the body: ``http.disconnect``, or what a server repeats until then."""
        if self.exists:
            await self._over.wait()
        return {"type": "http.disconnect"} if self._left else await self._receive()
