"""The messages of an HTTP response (ASGI, HTTP and WebSocket message format)."""

from collections.abc import Iterable

from starlette.types import Message


def body(data: bytes, *, more: bool) -> Message:
    """A part of the body."""
    return {"type": "http.response.body", "body": data, "more_body": more}


def flush() -> Message:
    """Lets the headers go: servers may keep the start of a response until its body begins ("Response Start")."""
    return body(b"", more=True)


def encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers for a start message."""
    return [(name.encode("latin-1"), _bytes(value)) for name, value in headers]


def _bytes(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:  # from a client that reads headers as UTF-8, as aiohttp and httpx do
        return value.encode("utf-8", "surrogateescape")


def values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """All values of a header; the name is in lower case."""
    return [value for each, value in headers if each.lower() == name]
