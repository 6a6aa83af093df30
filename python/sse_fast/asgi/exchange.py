"""One request of an application whose response is rewritten.

The start of the response says what becomes of it:

1. It passes, the very messages, where no rules are for what it holds, and where it has no body, or only a slice of one.
2. An event stream is rewritten as it is sent: the application waits as long as the server does.
3. A JSON body is held until it is whole, and its start with it.

An error that is found here is raised by the application's own `send`, to stop it. What the application makes of it does
not count: where it returns all the same, the error goes on to the server.
"""

from collections.abc import Callable
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_fast.aio.passage import Passage
from sse_fast.aio.response import NO_BODY
from sse_fast.asgi.bodies import Body, EventStreamBody, JSONBody, event_stream_start, json_start
from sse_fast.asgi.messages import flush, values
from sse_fast.encoding import Decoder
from sse_fast.errors import TruncatedError
from sse_fast.http import is_event_stream, is_json
from sse_fast.rules import Rules

PARTIAL = 206
# Extensions by which a file is sent without passing through here.
PAST_THE_RULES = ("http.response.pathsend", "http.response.zerocopysend")


class Exchange:
    """Calls the application for one request and rewrites what it answers."""

    def __init__(
        self,
        scope: Scope,
        send: Send,
        *,
        rules: Rules | None,
        body_rules: Rules | None,
        new_passage: Callable[[Rules, int], Passage],
        max_body: int,
    ) -> None:
        self._scope = scope
        self._send = send
        self._rules = rules
        self._body_rules = body_rules
        self._new_passage = new_passage
        self._max_body = max_body
        self._started = False
        self._body: Body | None = None
        self._error: Exception | None = None  # what the application was stopped with
        self._left = False  # the client

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        """Call the application. Raises what it raises, and what is wrong with its response."""

        async def watched() -> Message:
            message = await receive()
            self._left = self._left or message["type"] == "http.disconnect"
            return message

        try:
            try:
                await app(self._scope_for_app(), watched, self._take)
                if (error := self._error or self._cut()) is not None:
                    raise error
            except Exception as error:
                if not await self._is_told(error):
                    raise
        finally:
            if isinstance(self._body, EventStreamBody):
                self._body.passage.conclude()

    def _scope_for_app(self) -> Scope:
        extensions = self._scope.get("extensions") or {}
        if not any(name in extensions for name in PAST_THE_RULES):
            return self._scope
        return {
            **self._scope,
            "extensions": {name: extensions[name] for name in extensions if name not in PAST_THE_RULES},
        }

    def _cut(self) -> Exception | None:
        """The error of an application that returned in the middle of an event stream."""
        if isinstance(self._body, EventStreamBody) and not self._body.over and not self._left:
            return TruncatedError("the application returned before its event stream was complete")
        return None

    async def _is_told(self, error: Exception) -> bool:
        """Tell the client of an error, where it is one of a running event stream; False where it must be raised yet."""
        stream = self._body
        if not isinstance(stream, EventStreamBody) or self._left:
            return False
        if not stream.over and stream.error is None:
            with suppress(OSError):  # the client has just left
                await stream.fail(error)
        return stream.over and stream.error is error

    async def _take(self, message: Message) -> None:
        """The `send` of the application."""
        kind = message["type"]
        if kind == "http.response.start" and not self._started:
            self._error = None
            await self._start(message)
        elif self._error is not None:
            raise self._error
        elif self._body is None or self._body.over:
            await self._forward(message)
        elif kind == "http.response.body":
            await self._push(self._body, message)
        elif kind in PAST_THE_RULES:
            raise RuntimeError(f"{kind!r} was sent for a response that is rewritten: its extension is not in the scope")
        else:
            await self._forward(message)

    async def _start(self, message: Message) -> None:
        if not isinstance(message.get("headers", ()), list | tuple):  # an iterable that may be read only once
            message = {**message, "headers": list(message["headers"])}
        if message["status"] < 200:  # the response is still to come
            await self._forward(message)
            return
        try:
            self._body, start = self._judge(message)
        except Exception as error:
            self._error = error
            raise
        self._started = True
        if start is not None:
            await self._forward(start)
        if isinstance(self._body, EventStreamBody):
            await self._forward(flush())

    def _judge(self, start: Message) -> tuple[Body | None, Message | None]:
        """What rewrites the body, if anything, and the start message to send now, if any."""
        headers = start.get("headers", ())
        if start["status"] in NO_BODY or start["status"] == PARTIAL or values(headers, b"content-range"):
            return None, start
        content_types = values(headers, b"content-type")
        is_head = self._scope["method"] == "HEAD"
        if self._rules is not None and any(map(is_event_stream, content_types)):
            decoder = Decoder(b",".join(values(headers, b"content-encoding")))
            body = (
                None
                if is_head
                else EventStreamBody(self._new_passage(self._rules, start["status"]), decoder, self._forward)
            )
            return body, event_stream_start(start)
        if self._body_rules is not None and any(map(is_json, content_types)):
            decoder = Decoder(b",".join(values(headers, b"content-encoding")))
            if is_head:
                return None, json_start(start)
            return JSONBody(start, self._body_rules, decoder, self._max_body, self._forward), None
        return None, start

    async def _push(self, body: Body, message: Message) -> None:
        error = await body.push(message)
        if error is not None:
            self._error = error
            if isinstance(body, JSONBody):  # nothing was sent: another response may still be
                self._body, self._started = None, False
            raise error

    async def _forward(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            self._left = True
            raise
