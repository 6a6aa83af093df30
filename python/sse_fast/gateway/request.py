"""What a client asks."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.types import Scope

from sse_fast import Capture, RefusalError, Rules
from sse_fast.asgi.messages import values
from sse_fast.asgi.request import RequestBody
from sse_fast.dialects import Dialect
from sse_fast.gateway.routes import Rewriting, Route
from sse_fast.gateway.upstream import MODEL
from sse_fast.http import end_to_end_headers, is_json

ASKED = Rules([Capture("model", "$.model"), Capture("stream", "$.stream")])
# Gemini and Vertex say in the path whether to stream.
STREAMS = re.compile(":stream[A-Z][^/:]*$")
DOTS = re.compile(r"(?:^|[/\\])\.\.?(?:[/\\;]|$)")
SAID_ANEW = {"accept-encoding", "expect", "host", "x-request-id"}
# Who the client is, by what stands before the gateway, is not for others to know.
OF_PROXIES = {"forwarded", "via", "x-real-ip", *(f"x-forwarded-{what}" for what in ("for", "host", "port", "proto"))}


@dataclass(frozen=True)
class Request:
    """A request that can be passed on."""

    id: str
    route: Route
    dialect: Dialect | None
    method: str
    path: str  # percent-encoded, as it was sent
    query: str
    headers: list[tuple[str, str]]
    body: RequestBody | bytes | None  # JSON is whole; anything else is passed on while it comes
    model: str | None  # as asked for
    streams: bool  # an event stream is asked for

    @property
    def rewriting(self) -> Rewriting:
        """What is changed in the answer."""
        return self.route.rewriting(self.dialect, self.model)

    @property
    def is_used_up(self) -> bool:
        """It cannot be passed on a second time."""
        return isinstance(self.body, RequestBody) and self.body.begun


async def read_request(scope: Scope, body: RequestBody, id: str, route: Route, dialect: Dialect | None) -> Request:
    """The request; its body is read where it is JSON. `RefusalError` where it cannot be passed on."""
    method, path, query = scope["method"], scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
    if method in ("CONNECT", "TRACE"):
        raise RefusalError(405, f"the gateway does not pass on {method}")
    # By dot segments an upstream would leave the path of its URL; to Tomcat and Jetty "..;" is one, too.
    if not (path + query).isascii() or DOTS.search(scope["path"]):
        raise RefusalError(400, "the path has a segment of dots, or is not percent-encoded")
    body.check(body.length)
    headers = end_to_end_headers(scope["headers"], without=SAID_ANEW | OF_PROXIES)
    named, content = MODEL.search(path), body if body.exists else None
    model, streams = named and unquote(named[0]), STREAMS.search(path) is not None
    if not body.exists or not any(map(is_json, values(scope["headers"], b"content-type"))):
        return Request(id, route, dialect, method, path, query, headers, content, model, streams)
    if values(scope["headers"], b"content-encoding"):
        raise RefusalError(415, "the gateway reads JSON only where it is not compressed")
    text = b"".join([chunk async for chunk in body])
    asked = ASKED.read_json(text)
    model = model or (asked["model"] if isinstance(asked["model"], str) else None)
    headers = [item for item in headers if item[0] != "content-length"]
    return Request(id, route, dialect, method, path, query, headers, text, model, streams or asked["stream"] is True)
