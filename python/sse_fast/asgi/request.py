"""A request that is to be passed on: its first line, and its body for whoever also waits for the client to leave.

Both are told by `receive`, which only one can call: `RequestBody` does, and `departure` is what it leaves to
`sse_fast.asgi.client.Client`.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import quote

from starlette.types import Message, Receive, Scope

from sse_fast.asgi.messages import values
from sse_fast.errors import RefusalError

# Of these a server would make the end of its own connection, or tell the client its own headers.
_OF_THE_CONNECTION = ("CONNECT", "TRACE")
# By dot segments an upstream would leave the path of its URL; to Tomcat and Jetty "..;" is one, too.
_DOTS = re.compile(r"(?:^|[/\\])\.\.?(?:[/\\;]|$)")


def request_line(scope: Scope) -> tuple[str, str, str]:
    """Method, path and query as they came, percent-encoded (RFC 9112, 3), of a request that can be passed on.

    `RefusalError` with 405 for CONNECT and TRACE, with 400 for a path with dot segments or without a slash, and for
    what is not ASCII. Where a server keeps no ``raw_path`` the path is encoded anew.
    """
    method, query = scope["method"], scope["query_string"].decode("latin-1")
    raw_path = scope.get("raw_path")
    path = quote(scope["path"]) if raw_path is None else raw_path.decode("latin-1")
    if method in _OF_THE_CONNECTION:
        raise RefusalError(405, f"the gateway does not pass on {method}")
    if not (path + query).isascii() or _DOTS.search(scope["path"]):
        raise RefusalError(400, "the path has a segment of dots, or is not percent-encoded")
    if not path.startswith("/"):
        raise RefusalError(400, "the path does not begin with a slash")
    return method, path, query


def request_id(scope: Scope) -> str:
    """The client's own X-Request-Id, where it is one word of at most 128 visible characters; else a new one."""
    given = b"".join(values(scope["headers"], b"x-request-id")).decode("latin-1")
    return given if re.fullmatch("[!-~]{1,128}", given) else f"req_{secrets.token_hex(12)}"


class RequestBody:
    """A body while it comes: an async iterable of bytes, none of them empty, that can be read once.

    ``limit`` is in bytes; ``seconds`` are for the client to send all of it, what the reader takes apart. A reader whose
    client leaves is not told: it waits until `Client` cancels it.
    """

    exists: bool
    """The request has a body."""
    length: int
    """What Content-Length says, 0 where there is none and where Transfer-Encoding makes it void (RFC 9112, 6.3)."""
    begun: bool
    """It is being read, or has been."""

    def __init__(self, scope: Scope, receive: Receive, *, limit: int, seconds: float) -> None:
        is_chunked = bool(values(scope["headers"], b"transfer-encoding"))
        length = b"".join(values(scope["headers"], b"content-length")[:1])
        self.length = int(length) if length and not is_chunked else 0
        self.exists = is_chunked or self.length > 0
        self.begun = False
        self._ended = not self.exists
        self._receive = receive
        self._limit = limit
        self._seconds = seconds
        self._left = False
        self._over = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Read it. `RefusalError` with 413 where it is too large, 408 where it takes too long."""
        if self.begun:
            raise RuntimeError("a request's body can be read once, and this one has been")
        self.begun = True
        size, left, clock = 0, self._seconds, asyncio.get_running_loop().time
        try:
            while not self._ended:
                asked = clock()
                async with asyncio.timeout(left):
                    message = await self._receive()
                left -= clock() - asked  # what the reader does meanwhile is not the client's time
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
            self._ended = True  # to who was too slow once nobody listens again
            raise RefusalError(408, f"the request's body took longer than {self._seconds:g} seconds") from None
        finally:
            self._over.set()

    def check(self, size: int) -> None:
        """Refuse a body of so many bytes, if it is too large."""
        if size > self._limit:
            raise RefusalError(413, f"the request's body is larger than {self._limit} bytes")

    async def discard(self, *, seconds: float = 30.0, idle: float = 2.0) -> None:
        """Read on after an answer that did not wait for the end: so many seconds in all, and for each chunk (nginx's
        ``lingering_time`` and ``lingering_timeout``, 30 and 5 s there). Not where the client was too slow already.
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
