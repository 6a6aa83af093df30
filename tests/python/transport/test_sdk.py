"""An SDK on the transport."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from sse_fast.httpx import RewriteTransport

from transport.peers import MASK, Kit
from transport.sockets import Upstream


def _chat_chunk(**delta: str) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "x-1", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "x-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
}


@dataclass
class SDK:
    """openai's client over a `RewriteTransport`."""

    kit: Kit
    url: str
    transport: RewriteTransport = field(default_factory=lambda: RewriteTransport([MASK], body_rules=[MASK]))

    async def create(self, **options: Any) -> tuple[list[Any], Exception | None]:
        """All that the SDK gives for one request of chat, and the error that ended it."""
        openai = pytest.importorskip("openai")
        arguments: dict[str, Any] = {"model": "alias", "messages": [{"role": "user", "content": "Hi"}], **options}
        settings = {"base_url": self.url, "api_key": "k", "max_retries": 0}
        given: list[Any] = []
        try:
            async with self.kit.client(self.transport) as client:
                if not self.kit.is_async:
                    answer = openai.OpenAI(http_client=client, **settings).chat.completions.create(**arguments)
                    given += answer if options.get("stream") else [answer]
                else:
                    sdk = openai.AsyncOpenAI(http_client=client, **settings)
                    answer = await sdk.chat.completions.create(**arguments)
                    if options.get("stream"):
                        async for chunk in answer:
                            given.append(chunk)
                    else:
                        given.append(answer)
        except openai.APIError as error:
            return given, error
        return given, None


@pytest.fixture
def sdk_kit(kit: Kit) -> Kit:
    openai = pytest.importorskip("openai")
    uses = getattr(openai.DefaultHttpxClient, "__mro__", [object])
    if kit.library.Client not in uses and kit.library.__name__ != "httpx":
        pytest.skip("this openai knows no httpx2")
    return kit


@pytest.mark.anyio
async def test_the_openai_sdk_gets_a_masked_stream(sdk_kit: Kit) -> None:
    with Upstream.running(
        b": hello\n\n", _chat_chunk(role="assistant"), _chat_chunk(content="Hi"), b"data: [DONE]\n\n"
    ) as upstream:
        chunks, error = await SDK(sdk_kit, upstream.url).create(stream=True)
    assert error is None
    assert [chunk.model for chunk in chunks] == ["alias", "alias"]
    assert chunks[1].choices[0].delta.content == "Hi"


@pytest.mark.anyio
async def test_the_openai_sdk_gets_a_masked_body(sdk_kit: Kit) -> None:
    with Upstream.running(json.dumps(CHAT).encode(), content_type="application/json") as upstream:
        (answer,), error = await SDK(sdk_kit, upstream.url).create()
    assert error is None
    assert (answer.model, answer.choices[0].message.content) == ("alias", "Hi")


@pytest.mark.anyio
async def test_the_openai_sdk_raises_its_own_error_in_the_middle_of_a_stream(sdk_kit: Kit) -> None:
    openai = pytest.importorskip("openai")
    half = _chat_chunk(content="Hi")[:40]
    with Upstream.running(_chat_chunk(role="assistant"), half) as upstream:
        chunks, error = await SDK(sdk_kit, upstream.url).create(stream=True)
    assert [chunk.model for chunk in chunks] == ["alias"]
    assert type(error) is openai.APIConnectionError
    assert isinstance(error.__cause__, sdk_kit.library.RemoteProtocolError)
