"""The two kinds of body that are rewritten on their way from an application to the server."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from starlette.types import Message

from sse_fast.aio.passage import Passage
from sse_fast.asgi.messages import encoded
from sse_fast.encoding import Decoder
from sse_fast.errors import SSEFastError
from sse_fast.http import event_stream_headers, rewritten_headers
from sse_fast.rules import Rules

Send = Callable[[Message], Awaitable[None]]


def event_stream_start(start: Message) -> Message:
    """The start message of an event stream that is rewritten."""
    return {**start, "headers": encoded(event_stream_headers(start["headers"]))}


def json_start(start: Message, *, length: int | None = None) -> Message:
    """The start message of a JSON body that is rewritten, of so many bytes; None where there is none to count."""
    headers = rewritten_headers(start["headers"], without={"transfer-encoding"})
    if length is not None:
        headers.append(("content-length", str(length)))
    return {**start, "headers": encoded(headers)}


class Body(Protocol):
    """One body on its way. What the server's `send` raises goes through."""

    over: bool
    """Its last message has been sent."""

    async def push(self, message: Message) -> Exception | None:
        """Take one message; the error that the application must be stopped with, if any."""


class EventStreamBody:
    """Rewritten as it comes: what a message completes is sent before `push` returns."""

    def __init__(self, passage: Passage, decoder: Decoder, send: Send) -> None:
        self.over = False
        self.error: Exception | None = None
        self.passage = passage
        self._decoder = decoder
        self._send = send

    async def push(self, message: Message) -> Exception | None:
        """Rewrite one message and send what it completes; at the end, the rest."""
        more = message.get("more_body", False)
        await self._send_all(self._outputs(message), message, more=more)
        return self.error if more or self.passage.raises else None

    async def fail(self, error: Exception) -> None:
        """The application failed: the client's last bytes."""
        await self._send_all(self._last_outputs(error), {"type": "http.response.body"}, more=True)

    def _outputs(self, message: Message) -> Iterator[bytes]:
        try:
            for piece in self._decoder.feed(message.get("body", b"")):
                if output := self.passage.rewrite(piece):
                    yield output
            if not message.get("more_body", False):
                self._decoder.finish()
                if output := self.passage.finish():
                    yield output
        except Exception as error:
            yield from self._last_outputs(error)

    def _last_outputs(self, error: Exception) -> Iterator[bytes]:
        self.error = error
        if output := self.passage.salvage(error):
            yield output
        if output := self.passage.fail(error):
            yield output

    async def _send_all(self, outputs: Iterator[bytes], message: Message, *, more: bool) -> None:
        last = b""
        for output in outputs:
            if last:
                await self._send({**message, "body": last, "more_body": True})
            last = output
        if self.error is not None:
            more = self.passage.raises
        if last or not more:
            await self._send({**message, "body": last, "more_body": more})
        if not more:
            self.over = True
            self.passage.complete()
        if self.over or self.error is not None:
            self.passage.conclude()


class JSONBody:
    """Held until it is whole, at most ``max_body`` bytes, and its start with it: the new length is in the headers."""

    def __init__(self, start: Message, rules: Rules, decoder: Decoder, max_body: int, send: Send) -> None:
        self.over = False
        self._start = start
        self._rules = rules
        self._decoder = decoder
        self._max_body = max_body
        self._send = send
        self._body = bytearray()

    async def push(self, message: Message) -> Exception | None:
        """Keep one message; at the end, send all. Nothing has been sent where an error is returned."""
        try:
            self._take(message)
            if message.get("more_body", False):
                return None
            self._decoder.finish()
            body = self._rules.rewrite_json(self._body)
            self._body = bytearray()
            start = json_start(self._start, length=len(body))
        except Exception as error:
            return error
        self.over = True
        await self._send(start)
        await self._send({**message, "body": body})
        return None

    def _take(self, message: Message) -> None:
        for piece in self._decoder.feed(message.get("body", b"")):
            if len(self._body) + len(piece) > self._max_body:
                raise SSEFastError(
                    f"a JSON body of more than max_body, {self._max_body} bytes, cannot be rewritten: raise max_body, "
                    "or let body_rules be a function that returns None for this request"
                )
            self._body += piece
