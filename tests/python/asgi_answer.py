"""An `EventStreamResponse` over an upstream that says what the test says."""

from __future__ import annotations

from typing import Any

from asgi_peers import RULES, Upstream, others
from sse_fast import Rewriter
from sse_fast.aio import RewriteStream, StreamReport
from sse_fast.asgi import EventStreamResponse
from starlette.background import BackgroundTask


class Answer:
    """A response over an upstream, with its reports."""

    def __init__(
        self, *script: bytes | Exception | None, options: dict[str, Any] | None = None, **response: Any
    ) -> None:
        self.upstream = Upstream(*script)
        self.reports: list[StreamReport] = []
        stream = RewriteStream(self.upstream, Rewriter(RULES), on_end=self.reports.append, **options or {})
        self.background: list[str] = []
        background = BackgroundTask(self.background.append, "done")
        self.response = EventStreamResponse(stream, background=background, **response)

    @property
    def outcome(self) -> str | None:
        (report,) = self.reports
        return report.outcome

    def check_closed(self) -> None:
        """The upstream is closed, once, reported once, and nothing is left of it."""
        assert self.upstream.closed == 1
        assert len(self.reports) == 1
        assert not others()
