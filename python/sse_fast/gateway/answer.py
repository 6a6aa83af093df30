"""What an upstream answers, on its way to the client."""

import re
from typing import Any

from aiohttp import ClientPayloadError, ClientResponse

from sse_fast import RefusalError, Rewriter
from sse_fast.aio import RewriteStream, StreamReport
from sse_fast.aio.whole import Unchanged, WholeJSON
from sse_fast.asgi.messages import values
from sse_fast.encoding import decoded
from sse_fast.gateway.config import Config
from sse_fast.gateway.record import Record
from sse_fast.gateway.request import Request
from sse_fast.http import end_to_end_headers, event_stream_headers, is_event_stream, is_json, rewritten_headers

NO_BODY = (204, 205, 304)
# The server writes its own.
OF_THE_SERVER = {"date", "server"}


def _is_broken(header: tuple[bytes, bytes]) -> bool:
    return re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", header[1]) is not None


class Answer:
    """A response; ``stream`` is its body. Event streams and JSON are rewritten, anything else passes as it is."""

    def __init__(self, response: ClientResponse, request: Request, config: Config) -> None:
        coding = response.headers.get("transfer-encoding", "chunked").lower()
        if not 200 <= response.status <= 599 or coding != "chunked" or any(map(_is_broken, response.raw_headers)):
            raise ClientPayloadError("a response that HTTP does not know")
        content_type, body_rules = response.headers.get("content-type"), request.rewriting.body_rules
        headers = end_to_end_headers(response.raw_headers, without=OF_THE_SERVER)
        rewriter: Any = Unchanged()
        options: dict[str, Any] = {}
        if is_event_stream(content_type):
            headers = event_stream_headers(headers)
            rewriter = request.route.rewriter(request.rewriting.rules, request.dialect)
            options = {"dialect": request.dialect, "errors": "event", "heartbeat": request.route.heartbeat}
        elif is_json(content_type) and (request.dialect or body_rules):
            headers = rewritten_headers(headers)
            rewriter = WholeJSON(body_rules, config.max_response_bytes)
        if request.method == "HEAD" or response.status in NO_BODY:
            rewriter, options = Unchanged(), {}
        if response.status in NO_BODY:  # it may tell the length of what it does not send
            headers = [item for item in headers if item[0] != "content-length"]
        source: Any = response.content.iter_any()
        if not isinstance(rewriter, Unchanged):
            source = decoded(source, b",".join(values(response.raw_headers, b"content-encoding")))
        self.status, self.headers = response.status, headers
        self.is_event_stream = isinstance(rewriter, Rewriter)
        self.stream = RewriteStream(source, rewriter, response=response, idle_timeout=config.timeouts.idle, **options)
        self._request, self._rewriter, self._hold = request, rewriter, config.timeouts.hold

    async def begin(self) -> None:
        """Read what shows whether this is an answer: all of a JSON body, the first event. Raises what it fails with."""
        if self.is_event_stream:
            await self.stream.peek(timeout=self._hold)
        elif isinstance(self._rewriter, WholeJSON):
            await self.stream.peek()
            self.headers.append(("content-length", str(len(self._rewriter.rewritten))))

    @property
    def is_error(self) -> bool:
        """An event told of an error."""
        return _tells_of_error(self.stream.report)

    def tell(self, record: Record) -> None:
        """What came of it, and what it has used."""
        report, dialect = self.stream.report, self._request.dialect
        record.outcome = report.outcome or "cancelled"
        if isinstance(report.error, RefusalError):
            record.outcome = "refused"  # by the gateway: it is no fault of the upstream
        elif record.outcome == "completed" and _tells_of_error(report):
            record.outcome = "upstream_error"
        if dialect is not None and self.is_event_stream:
            record.used(dialect.usage(report), report.captured.get("model"))
        elif dialect is not None and isinstance(self._rewriter, WholeJSON):
            models = self._request.rewriting.body_models.read_json(self._rewriter.body).values()
            record.used(dialect.body_usage(self._rewriter.body), next(filter(None, models), None))


def _tells_of_error(report: StreamReport) -> bool:
    return report.captured.get("error") is not None or report.captured.get("type") == "error"
