"""What a client asks."""

from dataclasses import dataclass

from starlette.types import Scope

from sse_fast import RefusalError
from sse_fast.asgi.messages import values
from sse_fast.asgi.request import RequestBody, request_line
from sse_fast.dialects import Asked, Dialect
from sse_fast.gateway.routes import Route
from sse_fast.http import is_json, request_headers


@dataclass(frozen=True)
class Request:
    """A request that can be passed on."""

    route: Route
    dialect: Dialect | None
    method: str
    path: str  # percent-encoded, as it was sent
    query: str
    headers: list[tuple[str, str]]
    body: RequestBody | bytes | None  # JSON is whole; anything else is passed on while it comes
    asked: Asked

    @property
    def is_used_up(self) -> bool:
        """It cannot be passed on a second time."""
        return isinstance(self.body, RequestBody) and self.body.begun


async def read_request(scope: Scope, body: RequestBody, id: str, route: Route, dialect: Dialect | None) -> Request:
    """The request; its body is read where it is JSON. `RefusalError` where it cannot be passed on."""
    method, path, query = request_line(scope)
    body.check(body.length)
    headers = [*request_headers(scope["headers"], without={"x-request-id"}), ("x-request-id", id)]
    content: RequestBody | bytes | None = body if body.exists else None
    text = b""
    if body.exists and any(map(is_json, values(scope["headers"], b"content-type"))):
        if values(scope["headers"], b"content-encoding"):
            raise RefusalError(415, "the gateway reads JSON only where it is not compressed")
        text = content = b"".join([chunk async for chunk in body])
        headers = [item for item in headers if item[0] != "content-length"]
    return Request(route, dialect, method, path, query, headers, content, Asked.of(path, text))
