"""A server that can be asked, and how it is."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from aiohttp import ClientResponse, ClientSession

from sse_fast import Map, Rules
from sse_fast.aiohttp import ask
from sse_fast.dialects import Dialect, path_with_model
from sse_fast.http import CREDENTIALS, query_without_credentials

if TYPE_CHECKING:
    from sse_fast.gateway import config
    from sse_fast.gateway.request import Request

# Where requests name models: those of Google's batches and Anthropic's among them.
MODELS = ("$.model", "$.requests[*].model", "$.requests[*].params.model")


class Upstream:
    """An upstream of a route; ``models`` is what each alias is to it."""

    def __init__(self, settings: config.Upstream, route: config.Route, index: int) -> None:
        self.name = settings.name or str(index)
        self.models = {**route.models, **settings.models}
        self._url = settings.url
        self._header = settings.key_header
        self._key = os.environ.get(settings.api_key_env) if settings.api_key_env else None
        if settings.api_key_env and self._key is None:
            raise ValueError(f"the environment has no variable {settings.api_key_env}, the api_key_env of an upstream")
        if self._key is not None and not re.fullmatch("[!-~]+", self._key):
            raise ValueError(
                f"the variable {settings.api_key_env} holds no key: one has visible ASCII and nothing else"
            )
        # Google's bodies name them as paths do.
        images = {f"models/{alias}": f"models/{model}" for alias, model in self.models.items()} | self.models
        self._rules = Rules([*(Map(path, images) for path in MODELS if images), *route.request_rules])

    async def ask(self, session: ClientSession, request: Request, api: Dialect) -> ClientResponse:
        """Its response, as soon as the headers are there, to a request of this API."""
        body = request.body
        return await ask(
            session,
            request.method,
            self._url + self._target(request),
            headers=self._headers(request, api),
            body=self._rules.rewrite_json(body) if isinstance(body, bytes) else body,
        )

    def _target(self, request: Request) -> str:
        query = request.query if self._key is None else query_without_credentials(request.query)
        return f"{path_with_model(request.path, self.models)}?{query}".removesuffix("?")

    def _headers(self, request: Request, api: Dialect) -> list[tuple[str, str]]:
        headers = request.headers
        if self._key is not None:
            headers = [item for item in headers if item[0] not in CREDENTIALS]
            headers.append(api.authorization(self._key, header=self._header))
        return headers
