"""What stands around a transport: both clients of httpx and httpx2, and an inner transport that keeps book."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from sse_fast import Capture, Replace, Rules

URL = "http://upstream.test/v1"
MASK = Replace("$.model", "alias")
RULES = Rules([MASK, Capture("id", "$.id")])
ONE, TWO = b'data: {"id":1,"model":"x"}\n\n', b'data: {"id":2,"model":"x"}\n\n'
ONE_MASKED, TWO_MASKED = ONE.replace(b'"x"', b'"alias"'), TWO.replace(b'"x"', b'"alias"')
BODY, BODY_MASKED = b'{"model": "x", "n": 1.0}', b'{"model": "alias", "n": 1.0}'


@dataclass
class Received:
    response: Any
    chunks: list[bytes] = field(default_factory=list)
    error: Exception | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


class Kit:
    """One library, one kind of client."""

    def __init__(self, library: ModuleType, is_async: bool) -> None:
        self.library = library
        self.is_async = is_async

    @asynccontextmanager
    async def client(self, transport: Any, **options: Any) -> AsyncIterator[Any]:
        if self.is_async:
            async with self.library.AsyncClient(transport=transport, **options) as client:
                yield client
        else:
            with self.library.Client(transport=transport, **options) as client:
                yield client

    async def send(self, client: Any, method: str = "GET", url: str = URL, **options: Any) -> Any:
        """A response whose body is unread."""
        request = client.build_request(method, url, **options)
        return await client.send(request, stream=True) if self.is_async else client.send(request, stream=True)

    async def chunks(self, response: Any, how: str = "iter_raw") -> AsyncIterator[Any]:
        if self.is_async:
            async for chunk in getattr(response, f"a{how}")():
                yield chunk
        else:
            for chunk in getattr(response, how)():
                yield chunk

    async def close(self, response: Any) -> None:
        await response.aclose() if self.is_async else response.close()

    async def read(self, response: Any) -> Received:
        """All that comes of the body, and the error that ends it."""
        received = Received(response)
        try:
            async for chunk in self.chunks(response):
                received.chunks.append(chunk)
        except Exception as error:
            received.error = error
        await self.close(response)
        return received

    async def get(self, transport: Any, method: str = "GET", url: str = URL, **options: Any) -> Received:
        async with self.client(transport) as client:
            return await self.read(await self.send(client, method, url, **options))


class Inner:
    """A transport that gives one response, to be read once, and keeps book."""

    def __init__(
        self,
        library: ModuleType,
        chunks: Iterable[bytes],
        content_type: str | None = "text/event-stream",
        *,
        status: int = 200,
        headers: Iterable[tuple[str, str]] = (),
        error: Exception | None = None,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        self.requests: list[Any] = []
        self.calls: list[str] = []
        self.body = self._body(library, iter(chunks), error)
        typed = [("Content-Type", content_type)] if content_type else []
        self.response = library.Response(
            status, headers=[*typed, *headers], stream=self.body, extensions=extensions or {}
        )

    @staticmethod
    def _body(library: ModuleType, chunks: Iterator[bytes], error: Exception | None) -> Any:
        class Body(library.AsyncByteStream, library.SyncByteStream):
            closed = 0
            read = 0

            def __iter__(self) -> Iterator[bytes]:
                for chunk in chunks:
                    self.read += 1
                    yield chunk
                if error is not None:
                    raise error

            async def __aiter__(self) -> AsyncIterator[bytes]:
                for chunk in self:
                    await asyncio.sleep(0)
                    yield chunk

            def close(self) -> None:
                self.closed += 1

            async def aclose(self) -> None:
                await asyncio.sleep(0)
                self.close()

        return Body()

    def handle_request(self, request: Any) -> Any:
        self.requests.append(request)
        return self.response

    async def handle_async_request(self, request: Any) -> Any:
        return self.handle_request(request)

    def __enter__(self) -> None:
        self.calls.append("enter")

    def __exit__(self, *error: object) -> None:
        self.calls.append("exit")

    def close(self) -> None:
        self.calls.append("close")

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__()

    async def aclose(self) -> None:
        self.close()
