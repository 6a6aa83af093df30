"""What stands around an ASGI application: a server driven by hand, and an upstream that says what the test says."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from sse_fast import Capture, Replace, Rules
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response

ONE, TWO = b'data: {"model":"x","n":1}\n\n', b'data: {"model":"x","n":2}\n\n'
DONE = b"data: [DONE]\n\n"
ONE_MASKED, TWO_MASKED = ONE.replace(b'"x"', b'"alias"'), TWO.replace(b'"x"', b'"alias"')
RULES = Rules([Replace("$.model", "alias"), Capture("n", "$.n")])
ASKED = [(b"accept-encoding", b"gzip"), (b"origin", b"http://o")]
"""Headers of a request that brings middleware to work."""

Message = dict[str, Any]
DISCONNECT: Message = {"type": "http.disconnect"}


class Server:
    """One request to an application. What it sends is in ``sent``; ``leave`` is the client's departure.

    ``send_raises``: `send` raises OSError once the client has left (spec version 2.4); otherwise it sends to nobody.
    ``takes``: after so many messages the client stops reading, and `send` waits.
    ``requests`` are the messages that `receive` gives before it waits for the client to leave.
    """

    def __init__(
        self,
        method: str = "GET",
        *,
        headers: Iterable[tuple[bytes, bytes]] = (),
        send_raises: bool = False,
        takes: float = math.inf,
        requests: Iterable[Message] = ({"type": "http.request", "body": b"", "more_body": False},),
        extensions: dict[str, Any] | None = None,
        spec_version: str = "2.3",
    ) -> None:
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": spec_version},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "root_path": "",
            "headers": list(headers),
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        if extensions is not None:
            self.scope["extensions"] = extensions
        self.sent: list[Message] = []
        self._takes = takes
        self._requests = list(requests)
        self._left = asyncio.Event()
        self._send_raises = send_raises
        self._change = asyncio.Event()

    async def receive(self) -> Message:
        if self._requests:
            return self._requests.pop(0)
        await self._left.wait()
        return dict(DISCONNECT)

    async def send(self, message: Message) -> None:
        if self._left.is_set() and self._send_raises:
            raise OSError("the peer has gone")
        self.sent.append(message)
        self._change.set()
        if len(self.sent) > self._takes:
            await asyncio.Event().wait()

    def leave(self) -> None:
        self._left.set()

    def start(self, app: Callable[..., Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.create_task(app(self.scope, self.receive, self.send))  # type: ignore[arg-type]

    async def run(self, app: Callable[..., Awaitable[None]]) -> Server:
        await app(self.scope, self.receive, self.send)
        return self

    async def until(self, condition: Callable[[Server], bool]) -> None:
        """Wait for what is sent to be so."""
        while not condition(self):
            self._change.clear()
            await self._change.wait()

    async def until_body(self, body: bytes) -> None:
        await self.until(lambda server: server.body == body)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        assert self.sent[0]["type"] == "http.response.start"
        return dict(self.sent[0]["headers"])

    @property
    def parts(self) -> list[bytes]:
        """The body's messages that hold something."""
        bodies = [message for message in self.sent if message["type"] == "http.response.body"]
        return [body["body"] for body in bodies if body.get("body")]

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    @property
    def complete(self) -> bool:
        """The response had a proper end, once and last."""
        lasts = [message["type"] == "http.response.body" and not message.get("more_body") for message in self.sent]
        assert not any(lasts[:-1])
        return bool(lasts) and lasts[-1]


class Upstream:
    """An async iterator of chunks; where they end it waits (None), raises (an exception) or ends."""

    def __init__(self, *script: bytes | Exception | None) -> None:
        self.script = list(script)
        self.asked = 0
        self.closed = 0

    def __aiter__(self) -> Upstream:
        return self

    async def __anext__(self) -> bytes:
        self.asked += 1
        step = self.script.pop(0) if self.script else StopAsyncIteration()
        if step is None:
            await asyncio.Event().wait()
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, bytes)
        return step

    async def aclose(self) -> None:
        self.closed += 1
        await asyncio.sleep(0)


class Passing(BaseHTTPMiddleware):
    """Does nothing, as a `BaseHTTPMiddleware`, which puts tasks and queues in between."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        return await call_next(request)


def others() -> set[asyncio.Task[Any]]:
    """The tasks that run beside this one, but for anyio's runner of the test."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]
    return {task for task in tasks if "TestRunner" not in repr(task.get_coro())}
