"""The client, who may leave at any time.

ASGI has two ways to say so: `receive` gives ``http.disconnect``, and since spec version 2.4 `send` raises OSError.
Servers do the one, the other or both, and while the upstream is silent nothing is sent: so both are looked for.
"""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from starlette.types import Message, Receive, Send

from sse_fast.asgi.messages import body, encoded, flush
from sse_fast.asgi.request import RequestBody


class Client:
    """Sends to the client; when it leaves, cancels the task that is in the ``async with`` block.

    That is done as `asyncio.timeout` does it: the block swallows the cancel that came from here, and the OSError of its
    own `send`, and ``left`` tells. Every other exception goes on up, a cancel that came from elsewhere above all.
    """

    left: bool
    """The client has left."""
    status: int | None
    """That of the response whose head `start` has sent."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.left = False
        self.status = None
        self._receive = receive
        self._send = send
        self._error: OSError | None = None
        self._cancelled = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # a coroutine that awaits asyncio runs in a task
        self._task = task
        self._cancelling = task.cancelling()
        self._watching = True
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def _watch(self) -> None:
        try:
            message: Message = {"type": "http.request"}
            while self._watching and message["type"] != "http.disconnect":
                await asyncio.sleep(0)  # others first: some servers repeat the end of the request without a pause
                message = await self._receive()
        finally:
            if self._watching:
                self.left = self._cancelled = True
                self._task.cancel()

    async def send(self, message: Message) -> None:
        """Send a message. Raises OSError where the client has left, for the block to swallow."""
        try:
            if self.left:
                raise OSError("the client has left")
            await self._send(message)
        except OSError as error:
            self.left = True
            self._error = error
            raise

    async def start(self, status: int, headers: Iterable[tuple[str, str]], *, request_id: str | None = None) -> None:
        """Send the head of a response, with this X-Request-Id unless it has one, and let it go at once."""
        headers = list(headers)
        if request_id is not None and all(name.lower() != "x-request-id" for name, _ in headers):
            headers.append(("x-request-id", request_id))
        await self.send({"type": "http.response.start", "status": status, "headers": encoded(headers)})
        self.status = status
        await self.send(flush())

    async def finish(self, *, unread: RequestBody | None = None) -> None:
        """End a response whose body is sent. What there is yet of the request's body is read before: a connection that
        is closed with bytes unread is reset, and the answer may be lost.
        """
        await self.stop_watching()
        if unread is not None:
            await unread.discard()
        await self.send(body(b"", more=False))

    async def stop_watching(self) -> None:
        """Cancel nothing from here on: ``http.disconnect`` also comes where a response is complete."""
        self._watching = False
        self._watcher.cancel()
        await asyncio.wait({self._watcher})

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        swallow = error is not None and error is self._error
        if self._cancelled and self._task.uncancel() <= self._cancelling:
            swallow = swallow or isinstance(error, asyncio.CancelledError)
        await self.stop_watching()
        failure = None if self._watcher.cancelled() else self._watcher.exception()
        if failure is not None and self._cancelled and (swallow or error is None):
            raise failure  # of receive
        return swallow
