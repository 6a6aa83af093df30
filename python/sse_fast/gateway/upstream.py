"""A server that can be asked, and how it is."""

from __future__ import annotations

import os
import re
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import unquote

import aiohttp
from yarl import URL

from sse_fast import Map, RefusalError, Rules
from sse_fast.dialects import chat_completions, path_with_model
from sse_fast.http import CREDENTIALS

if TYPE_CHECKING:
    from sse_fast.gateway import config
    from sse_fast.gateway.request import Request

# What aiohttp would say of itself where a client said nothing.
UNSAID = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


def new_session(connect: float) -> aiohttp.ClientSession:
    """A client that adds nothing of its own: no cookies, no decoding, no proxies, no limits."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=connect),
        auto_decompress=False,
        trust_env=False,
    )


class Upstream:
    """An upstream of a route; ``models`` is what each alias is to it."""

    def __init__(self, settings: config.Upstream, route: config.Route, index: int) -> None:
        self.name = settings.name or str(index)
        self.models = {**route.models, **settings.models}
        self._url = settings.url
        self._key = os.environ.get(settings.api_key_env) if settings.api_key_env else None
        if settings.api_key_env and self._key is None:
            raise ValueError(f"the environment has no variable {settings.api_key_env}, the api_key_env of an upstream")
        if self._key is not None and not re.fullmatch("[!-~]+", self._key):
            raise ValueError(
                f"the variable {settings.api_key_env} holds no key: one has visible ASCII and nothing else"
            )
        self._rules = Rules([*([Map("$.model", self.models)] if self.models else []), *route.request_rules])

    async def ask(self, session: aiohttp.ClientSession, request: Request) -> aiohttp.ClientResponse:
        """Its response, as soon as the headers are there. Raises `aiohttp.ClientError` and `OSError`."""
        body = request.body
        try:
            return await session.request(
                request.method,
                URL(self._url + self._target(request), encoded=True),
                headers=self._headers(request),
                skip_auto_headers=UNSAID,
                data=BytesIO(self._rules.rewrite_json(body)) if isinstance(body, bytes) else body,
                allow_redirects=False,
            )
        except aiohttp.ClientConnectionError as error:
            if isinstance(error.__cause__, RefusalError):  # what reading the client's body came to
                raise error.__cause__ from None
            raise

    def _target(self, request: Request) -> str:
        parameters = request.query.split("&")
        if self._key is not None:
            parameters = [each for each in parameters if unquote(each.partition("=")[0]) != "key"]
        return f"{path_with_model(request.path, self.models)}?{'&'.join(parameters)}".removesuffix("?")

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        headers = request.headers
        if self._key is not None:
            headers = [item for item in headers if item[0] not in CREDENTIALS]
            headers.append((request.dialect or chat_completions).authorization(self._key))
        # aiohttp writes UTF-8 where the client's bytes were read as latin-1.
        return [(name, value.encode("latin-1").decode(errors="replace")) for name, value in headers]
