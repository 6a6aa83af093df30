"""Applications that send what the test says, and the middleware around them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgi_peers import RULES, Message, Server
from sse_fast import Rules, Transform
from sse_fast.aio import StreamReport
from sse_fast.asgi import RewriteMiddleware

BODY, BODY_MASKED = b'{"model": "x", "n": 1.0}', b'{"model": "alias", "n": 1.0}'
SSE, JSON = (b"content-type", b"text/event-stream"), (b"content-type", b"application/json")

App = Callable[[Any, Any, Any], Awaitable[None]]


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes = b"", more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def bodies(*chunks: bytes) -> list[Message]:
    """Each chunk in a message, and an empty one at the end."""
    return [*(body(chunk, True) for chunk in chunks), body()]


def app(*messages: Message | BaseException | None) -> App:
    """An application that sends these messages, raises these exceptions, and waits for ever at None."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            if message is None:
                await asyncio.Event().wait()
            if isinstance(message, BaseException):
                raise message
            await send(message)

    return application


class Case:
    """The middleware around an application, with the reports of its streams."""

    def __init__(self, application: App, rules: Any = RULES, **options: Any) -> None:
        self.reports: list[StreamReport] = []
        self.app = RewriteMiddleware(application, rules, on_end=self.reports.append, **options)

    async def run(self, method: str = "GET", **request: Any) -> Server:
        return await Server(method, **request).run(self.app)

    async def fails(self, error: type[BaseException], match: str, method: str = "GET", **request: Any) -> Server:
        server = Server(method, **request)
        with pytest.raises(error, match=match):
            await server.run(self.app)
        return server

    @property
    def outcome(self) -> str | None:
        (report,) = self.reports
        return report.outcome


def fail_at_two(value: int) -> int:
    if value == 2:
        raise LookupError("two")
    return value


BREAKING = Rules([Transform("$.n", fail_at_two)])
