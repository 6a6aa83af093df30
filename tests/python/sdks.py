"""The official SDKs on an upstream or a rewriting transport: what they parse, and the error that they raise."""

from __future__ import annotations

import importlib
import ssl
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import pytest
from sse_fast import Rules
from sse_fast.dialects import get
from sse_fast.httpx import RewriteTransport


class Upstream:
    """Answers each request with the same, for whichever library and kind of client asks; fails with its last chunk."""

    def __init__(
        self,
        *chunks: bytes,
        error: str | None = None,
        status: int = 200,
        kind: str = "text/event-stream",
        **headers: str,
    ) -> None:
        self.chunks, self.error, self.status = chunks, error, status
        self.headers = {"content-type": kind} | headers
        self.closings = 0

    def handle_request(self, request: Any) -> Any:
        library = importlib.import_module(type(request).__module__.partition(".")[0])
        return library.Response(self.status, headers=self.headers, stream=self.body(library), request=request)

    async def handle_async_request(self, request: Any) -> Any:
        return self.handle_request(request)

    def body(self, library: ModuleType) -> Any:
        upstream = self

        class Body(library.AsyncByteStream, library.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                yield from upstream.chunks
                if upstream.error is not None:
                    raise getattr(library, upstream.error)("https://user:hunter2@10.1.2.3")

            async def __aiter__(self) -> AsyncIterator[bytes]:
                for chunk in self:
                    yield chunk

            def close(self) -> None:
                upstream.closings += 1

            async def aclose(self) -> None:
                upstream.closings += 1

        return Body()


def rewriting(api: str, upstream: Upstream, **options: Any) -> RewriteTransport:
    """The upstream behind the rules of a dialect, as a gateway would have them."""
    dialect = get(api)
    rules = Rules([*dialect.rules(**options), *dialect.captures()])
    policies = dialect.policies(repair=options.get("repair", False))
    body_rules = Rules(dialect.body_rules(**options))
    return RewriteTransport(
        rules, body_rules=body_rules, transport=upstream, dialect=dialect, errors="event", **policies
    )


class SDK:
    """One official client; a call gives all that it parses as plain values, and the error that it raises."""

    library: ModuleType
    errors: tuple[type[Exception], ...]

    def __init__(self, api: str) -> None:
        self.api = api
        if api == "gemini":
            self.genai = pytest.importorskip("google.genai")
            self.http = importlib.import_module("httpx")
            self.error: type[Exception] = importlib.import_module("google.genai.errors").APIError
        else:
            self.library = pytest.importorskip("anthropic" if api == "messages" else "openai")
            self.http = importlib.import_module(self.library._base_client.URL.__module__.partition(".")[0])
            self.error = self.library.APIError

    def client(self, transport: Any, *, is_async: bool = False, **options: Any) -> Any:
        # Clients read certificates, half of the time that all this takes; no socket is opened here.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ssl.SSLContext, "load_verify_locations", lambda *arguments, **options: None)
            return self._client(transport, is_async, options)

    def _client(self, transport: Any, is_async: bool, options: dict[str, Any]) -> Any:
        http_client = getattr(self.http, "AsyncClient" if is_async else "Client")(transport=transport)
        if self.api == "gemini":
            # One of its own it would close when it is collected, in a task of whichever loop runs then.
            both = {"httpx_client": self.http.Client, "httpx_async_client": self.http.AsyncClient}
            clients = {name: make(transport=transport) for name, make in both.items()}
            client = self.genai.Client(api_key="k", http_options=self.genai.types.HttpOptions(**clients))
            return client.aio if is_async else client
        kind = {"messages": "Anthropic"}.get(self.api, "OpenAI")
        kind = f"Async{kind}" if is_async else kind
        return getattr(self.library, kind)(api_key="k", http_client=http_client, max_retries=0, **options)

    def ask(self, client: Any, *, stream: bool = True) -> Any:
        """The call; to be awaited where the client is asynchronous."""
        if self.api == "chat_completions":
            return client.chat.completions.create(model="m", messages=[], stream=stream)
        if self.api == "responses":
            return client.responses.create(model="m", input="", stream=stream)
        if self.api == "messages":
            return client.messages.create(model="m", max_tokens=1, messages=[], stream=stream)
        if stream:
            return client.models.generate_content_stream(model="m", contents="x")
        return client.models.generate_content(model="m", contents="x")

    def plain(self, value: Any) -> Any:
        if self.api == "gemini":
            # What the SDK adds of the transport's headers is no part of the answer.
            return value.model_dump(exclude={"sdk_http_response"})
        return value.model_dump(warnings=False)

    def read(self, transport: Any, **options: Any) -> tuple[list[Any], Exception | None]:
        values: list[Any] = []
        try:
            for value in self.ask(self.client(transport, **options)):
                values.append(self.plain(value))
        except Exception as error:
            return values, error
        return values, None

    async def aread(self, transport: Any) -> tuple[list[Any], Exception | None]:
        values: list[Any] = []
        try:
            async for value in await self.ask(self.client(transport, is_async=True)):
                values.append(self.plain(value))
        except Exception as error:
            return values, error
        return values, None


def same(left: tuple[list[Any], Exception | None], right: tuple[list[Any], Exception | None]) -> None:
    assert left[0] == right[0]
    assert type(left[1]) is type(right[1])
    assert str(left[1]) == str(right[1])
