"""Rewrites what an application answers."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

from starlette.types import ASGIApp, Receive, Scope, Send

from sse_fast._rust import Rewriter
from sse_fast.aio.passage import Passage
from sse_fast.aio.report import Dialect, StreamReport
from sse_fast.asgi.exchange import Exchange
from sse_fast.choice import chooser
from sse_fast.rules import Rule, Rules

RulesFor = Callable[[Scope], Rules | None]
"""The rules for a request; None leaves its response alone."""


class RewriteMiddleware:
    """Rewrites the event streams of an ASGI application and, with ``body_rules``, its JSON bodies.

    ``rules`` and ``body_rules`` are a `Rules`, any iterable of rules, or a function of the request's scope that returns
    a `Rules`, or None to leave the response alone. ``dialect``, ``errors`` and ``on_end`` are those of
    `sse_fast.aio.RewriteStream`, the policies those of `sse_fast.Rewriter`; ``max_body`` is in bytes.

    - Event streams, by their Content-Type: each part of the body is rewritten and sent on in the call that brings it,
      so the server's backpressure reaches the application. The headers leave at once, through
      `sse_fast.http.event_stream_headers`.
    - An application that fails in the middle of a stream, or a stream that ends too early: as with `RewriteStream`,
      every whole event is sent and no half one, then the error is raised or, with ``errors="event"``, sent as an event
      before a proper end; it is then in the report alone.
    - JSON bodies are held until they are whole. Content-Length is corrected, ETag and the like go. Beyond ``max_body``
      an `SSEFastError` is raised and nothing sent. What is not JSON passes as it is.
    - A Content-Encoding of gzip or deflate is undone. Any other is an `EncodingError`, and nothing is sent. Vary stays,
      for it can only be too careful.
    - Everything else passes, the very messages: other content, other scopes, 204, 205, 206 and 304, slices. HEAD gets
      the headers that GET would, but for the length of a JSON body.
    - An application is not offered to send files past the rules (``http.response.pathsend`` and ``zerocopysend``).
    """

    def __init__(
        self,
        app: ASGIApp,
        rules: Rules | Iterable[Rule] | RulesFor | None,
        *,
        body_rules: Rules | Iterable[Rule] | RulesFor | None = None,
        dialect: Dialect | Any = None,
        errors: Literal["raise", "event"] = "raise",
        on_end: Callable[[StreamReport], object] | None = None,
        max_body: int = 16 << 20,
        max_held: int = 1 << 20,
        on_invalid: Literal["pass", "drop", "raise"] = "pass",
        comments: Literal["keep", "drop"] | str = "keep",
        empty_blocks: Literal["keep", "drop"] = "keep",
    ) -> None:
        if max_body < 0:
            raise ValueError(f"max_body must not be negative: {max_body}")
        self.app = app
        self._rules = chooser("rules", rules)
        self._body_rules = chooser("body_rules", body_rules)
        self._max_body = max_body

        def new_passage(rules: Rules, status: int) -> Passage:
            rewriter = Rewriter(
                rules, max_held=max_held, on_invalid=on_invalid, comments=comments, empty_blocks=empty_blocks
            )
            if status >= 300:  # of an error, whatever its type says, no end is known
                return Passage(rewriter, on_end=on_end)
            return Passage(rewriter, dialect=dialect, errors=errors, on_end=on_end)

        new_passage(Rules(), 200)  # what would be refused in every request is refused here
        self._new_passage = new_passage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI, HTTP connection scope); other scopes pass."""
        rules = self._rules(scope) if scope["type"] == "http" else None
        body_rules = self._body_rules(scope) if scope["type"] == "http" else None
        if rules is None and body_rules is None:
            await self.app(scope, receive, send)
            return
        exchange = Exchange(
            scope, send, rules=rules, body_rules=body_rules, new_passage=self._new_passage, max_body=self._max_body
        )
        await exchange.run(self.app, receive)
