"""aiohttp's client as a proxy needs it: what it sends and gives is as it came.

>>> from sse_fast.aiohttp import ask, new_session
>>> async def answer(method: str, url: str, headers: list[tuple[str, str]], body: bytes) -> int:
...     async with new_session(connect=5.0) as session:
...         response = await ask(session, method, url, headers=headers, body=body)
...         async with response:
...             return response.status
"""

from collections.abc import AsyncIterable, Iterable
from io import BytesIO

try:
    import aiohttp
    from yarl import URL
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("sse_fast.aiohttp needs aiohttp: pip install aiohttp", name="aiohttp") from error

from sse_fast.errors import RefusalError

__all__ = ["ask", "new_session"]

# What it would say of itself where a client said nothing.
_UNSAID = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
# Bytes of a line, and lines, of a response's head: LiteLLM sends many. nginx takes 4 to 8 KiB of all.
LONGEST_LINE, MOST_LINES = 1 << 16, 1000


def new_session(*, connect: float) -> aiohttp.ClientSession:
    """A client that adds nothing of its own: no cookies, no decoding, no proxies, no limit of connections, and no
    timeouts but that for a connection, in seconds.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=connect),
        auto_decompress=False,
        trust_env=False,
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_LINE,
        max_headers=MOST_LINES,
    )


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    headers: Iterable[tuple[str, str]],
    body: bytes | AsyncIterable[bytes] | None,
) -> aiohttp.ClientResponse:
    """The response, as soon as its headers are there; it is yours to close. No redirect is followed.

    ``url`` is percent-encoded. The values of headers are bytes read as latin-1, as ASGI has them; aiohttp can send no
    bytes that are no UTF-8, and these become U+FFFD. Names go out in lower case. A body that is not bytes is sent while
    it comes, in chunks unless there is a Content-Length. Raises `aiohttp.ClientError` and `OSError`, and the
    `RefusalError` that reading such a body came to (`sse_fast.asgi.request.RequestBody`).
    """
    try:
        return await session.request(
            method,
            URL(url, encoded=True),
            # It writes UTF-8 where the client's bytes were read as latin-1.
            headers=[(name.lower(), value.encode("latin-1").decode(errors="replace")) for name, value in headers],
            skip_auto_headers=_UNSAID,
            data=BytesIO(body) if isinstance(body, bytes) else body,
            allow_redirects=False,
        )
    except aiohttp.ClientConnectionError as error:
        if isinstance(error.__cause__, RefusalError):
            raise error.__cause__ from None
        raise
