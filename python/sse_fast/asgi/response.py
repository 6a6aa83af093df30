"""A response that streams what a gateway rewrites."""

from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any

from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sse_fast.aio.response import OF_THE_SERVER
from sse_fast.asgi.client import Client
from sse_fast.asgi.messages import body, encoded, flush
from sse_fast.http import Headers, event_stream_headers


class EventStreamResponse(Response):
    """Answers with an event stream; to be returned from an endpoint of Starlette or FastAPI, or called as an ASGI app.

    ``stream`` is a `sse_fast.aio.RewriteStream`, or any async iterable of bytes; it is closed before the call returns,
    whatever happens (``async with`` where it can that, else its ``aclose``). ``headers`` are the upstream's, as
    httpx, aiohttp or ASGI give them: they go through `sse_fast.http.event_stream_headers`, and Date and Server are left
    to the server. ``background`` runs after a complete stream.

    - The headers leave at once, not with the first event.
    - A chunk is asked for when the server has taken the one before. The stream runs in the task of the caller.
    - A client that leaves cancels the stream at once, also while the upstream is silent; that is no error.
    - An error of the stream is raised after what was sent: the server then breaks the connection, so that the client
      sees it. Not so under a `BaseHTTPMiddleware`, which ends the response properly: use ``errors="event"`` there.
    - To HEAD the headers are answered and the stream is closed unread.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        stream: AsyncIterable[bytes],
        *,
        status_code: int = 200,
        headers: Headers | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        if not hasattr(stream, "__aiter__"):
            raise TypeError(
                f"stream is {type(stream).__name__!r}, not a RewriteStream nor another async iterable of bytes"
            )
        self.stream = stream
        self.status_code = status_code
        self.background = background
        self.raw_headers = encoded(item for item in event_stream_headers(headers or ()) if item[0] not in OF_THE_SERVER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI, HTTP connection scope)."""
        async with Client(receive, send) as client, _closing(self.stream) as chunks:
            if scope["type"] != "http":
                raise RuntimeError(f"EventStreamResponse answers http requests, not {scope['type']!r}")
            await client.send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await client.send(flush())
                async for chunk in chunks:
                    await client.send(body(chunk, more=True))
            await client.finish()
        if self.background is not None and not client.left:
            await self.background()


def _closing(stream: Any) -> AbstractAsyncContextManager[AsyncIterable[bytes]]:
    if hasattr(stream, "__aenter__"):
        return stream  # type: ignore[no-any-return]
    return aclosing(stream) if hasattr(stream, "aclose") else nullcontext(stream)
