"""Headers of a request that is passed on, and of a response that is rewritten on its way (RFC 9110).

>>> event_stream_headers({"Content-Type": "text/event-stream", "Content-Length": "12", "X-Request-Id": "r1"})
... # doctest: +NORMALIZE_WHITESPACE
[('content-type', 'text/event-stream'), ('x-request-id', 'r1'),
 ('cache-control', 'no-cache, no-transform'), ('x-accel-buffering', 'no')]
"""

import re
from collections.abc import Iterable, Mapping, Set
from typing import Any
from urllib.parse import unquote

__all__ = [
    "CREDENTIALS",
    "Headers",
    "end_to_end_headers",
    "event_stream_headers",
    "is_event_stream",
    "is_json",
    "query_without_credentials",
    "request_headers",
    "rewritten_headers",
]

Headers = Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[str, str] | tuple[bytes, bytes]]
"""Headers of httpx, aiohttp or Starlette, any other mapping, or pairs of name and value such as ASGI's."""

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Meant for one connection alone (RFC 9110, 7.6.1), as is what Connection names."""
OF_THE_BYTES = frozenset(
    {
        "accept-ranges",
        "content-digest",
        "content-encoding",
        "content-length",
        "content-md5",
        "content-range",
        "digest",
        "etag",
        "last-modified",
        "repr-digest",
    }
)
"""True of the very bytes that the body had before it was decoded and rewritten."""
OF_PROXIES = frozenset(
    {"forwarded", "via", "x-real-ip", *(f"x-forwarded-{what}" for what in ("for", "host", "port", "proto"))}
)
"""What those on the way say of a client (RFC 7239; RFC 9110, 7.6.3)."""
CREDENTIALS = frozenset(
    {"api-key", "authorization", "cookie", "ocp-apim-subscription-key", "x-api-key", "x-goog-api-key"}
)
"""What carries a client's keys: ``without`` it, where a proxy asks with a key of its own."""
_KEYS = frozenset({"access_token", "api-key", "api_key", "apikey", "key", "subscription-key"})

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BREAKS_OUT = re.compile(r"[\r\n\0]")


def event_stream_headers(upstream: Headers) -> list[tuple[str, str]]:
    """The headers to answer with, names in lower case: those of the upstream, made right for a rewritten event stream.

    - Out: hop-by-hop headers and what Connection names, Content-Length, Content-Encoding, and what describes the old
      bytes (ETag, Last-Modified, digests, ranges).
    - In: ``cache-control: no-cache, no-transform`` (proxies that compress hold events back) and ``x-accel-buffering:
      no`` (nginx), whatever the upstream says; ``content-type: text/event-stream; charset=utf-8`` where it says none.
    - All else stays, in order, repeated ones too: request ids, rate limits, each Set-Cookie.

    Bytes are read as latin-1. Raises `ValueError` for a name that is no token (RFC 9110, 5.1) and for a value with CR,
    LF or NUL.
    """
    kept = end_to_end_headers(upstream, without=OF_THE_BYTES | {"cache-control", "x-accel-buffering"})
    if all(name != "content-type" for name, _ in kept):
        kept.append(("content-type", "text/event-stream; charset=utf-8"))
    return [*kept, ("cache-control", "no-cache, no-transform"), ("x-accel-buffering", "no")]


def end_to_end_headers(headers: Headers, *, without: Set[str] = frozenset()) -> list[tuple[str, str]]:
    """The headers of a request or a response that a proxy passes on, less those named (in lower case).

    Names come in lower case. Out: hop-by-hop headers and what Connection names (RFC 9110, 7.6.1), and a Content-Length
    beside Transfer-Encoding, which has no meaning (RFC 9112, 6.3). All else stays, in order, repeated ones too. Bytes
    and errors are as for `event_stream_headers`.
    """
    items = pairs(headers)
    named = {
        option.strip(" \t").lower() for name, value in items if name == "connection" for option in value.split(",")
    }
    out = HOP_BY_HOP | named | without
    if any(name == "transfer-encoding" for name, _ in items):
        out |= {"content-length"}
    return [(name, value) for name, value in items if name not in out]


def request_headers(client: Headers, *, without: Set[str] = frozenset()) -> list[tuple[str, str]]:
    """The headers to ask an upstream with: those of a client's request, made right for a proxy, less those named.

    - Out: what `end_to_end_headers` takes out; Host and Expect, which the proxy's own client says anew; Range and
      If-Range, for a slice cannot be rewritten (a server may answer with the whole: RFC 9110, 14.2); what proxies tell
      of the client (Forwarded, Via, X-Forwarded-For and the like).
    - In: ``accept-encoding: identity``, whatever the client accepts: a coding would have to be undone.
    - All else stays, in order, repeated ones too: keys, cookies, Content-Length, which is wrong once the body changes.

    Names, bytes and errors are as for `event_stream_headers`.
    """
    said_anew = {"accept-encoding", "expect", "host", "if-range", "range"}
    kept = end_to_end_headers(client, without=OF_PROXIES | said_anew | without)
    return [*kept, ("accept-encoding", "identity")]


def query_without_credentials(query: str) -> str:
    """A query, percent-encoded, without the parameters that carry a client's keys; all else as it came."""
    parameters = query.split("&")
    return "&".join(each for each in parameters if unquote(each.partition("=")[0]).lower() not in _KEYS)


def rewritten_headers(headers: Headers, *, without: Set[str] = frozenset()) -> list[tuple[str, str]]:
    """The headers that stay true of any body that is decoded and rewritten, less those named (in lower case)."""
    return [(name, value) for name, value in pairs(headers) if name not in OF_THE_BYTES and name not in without]


def pairs(headers: Any) -> list[tuple[str, str]]:
    """All of them, in order, names in lower case."""
    # httpx joins repeated headers in items(), which Set-Cookie does not survive, and guesses what their bytes mean.
    if isinstance(raw := getattr(headers, "raw", None), list):
        headers = raw
    elif hasattr(headers, "items"):
        headers = headers.items()
    return [_item(name, value) for name, value in headers]


def _item(name: Any, value: Any) -> tuple[str, str]:
    name, value = _text(name), _text(value)
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"header name {name!r} is no token: take it out before it is passed on")
    if _BREAKS_OUT.search(value):
        raise ValueError(f"header {name!r} has CR, LF or NUL in its value: take it out before it is passed on")
    return name.lower(), value.strip(" \t")


def _text(part: Any) -> str:
    if isinstance(part, bytes):
        return part.decode("latin-1")
    if isinstance(part, str):
        return part
    raise TypeError(f"a header's name and value are str or bytes, not {type(part).__name__}")


def is_event_stream(content_type: str | bytes | None) -> bool:
    """Is it ``text/event-stream``, in any case and with any parameters? Of several, joined with commas, any counts."""
    return "text/event-stream" in _media_types(content_type)


def is_json(content_type: str | bytes | None) -> bool:
    """Is it ``application/json``, or any type with the suffix ``+json`` (RFC 6839, 3.1)? Several as above."""
    return any(each == "application/json" or each.endswith("+json") for each in _media_types(content_type))


def _media_types(content_type: str | bytes | None) -> list[str]:
    return [each.partition(";")[0].strip(" \t").lower() for each in _text(content_type or "").split(",")]
