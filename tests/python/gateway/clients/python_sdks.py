"""The official SDKs of Python, asked the same through all."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

import pytest

from gateway.clients.scenes import Scene, Told

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "model": {"type": "string"}},
    "required": ["city", "model"],
    "additionalProperties": False,
}
NAMED = {"name": "get_weather", "description": "The weather"}
FUNCTION = NAMED | {"parameters": PARAMETERS, "strict": True}
HELLO = [{"role": "user", "content": "hello"}]


class SDK:
    """One kind of request of one SDK. Calls are to be awaited, and streams asynchronous, where the client is so."""

    api: str

    def client(self, url: str, is_async: bool) -> Any:
        raise NotImplementedError

    def body(self, client: Any) -> Any:
        """The call for a whole answer."""
        raise NotImplementedError

    def stream(self, client: Any) -> Any:
        """A context manager around an iterator of events."""
        raise NotImplementedError

    def piece(self, event: Any) -> str | None:
        """Of text, where the event has one."""
        raise NotImplementedError

    def final(self, stream: Any) -> Any:
        """The whole answer after the last event."""
        raise NotImplementedError

    def read(self, answer: Any, told: Told) -> None:
        raise NotImplementedError


class OpenAI(SDK):
    def client(self, url: str, is_async: bool) -> Any:
        kind = getattr(pytest.importorskip("openai"), "AsyncOpenAI" if is_async else "OpenAI")
        return kind(base_url=f"{url}/v1", api_key="k", max_retries=0)


class Chat(OpenAI):
    api = "chat_completions"
    asked: ClassVar[Any] = {"model": "fast", "messages": HELLO, "tools": [{"type": "function", "function": FUNCTION}]}

    def body(self, client: Any) -> Any:
        return client.chat.completions.create(**self.asked)

    def stream(self, client: Any) -> Any:
        return client.chat.completions.stream(**self.asked, stream_options={"include_usage": True})

    def piece(self, event: Any) -> str | None:
        return event.delta if event.type == "content.delta" else None

    def final(self, stream: Any) -> Any:
        return stream.get_final_completion()

    def read(self, answer: Any, told: Told) -> None:
        message = answer.choices[0].message
        told.text, told.thoughts = message.content or "", getattr(message, "reasoning_content", "")
        calls = [call.function for call in message.tool_calls or []]
        told.tools = [[call.name, json.loads(call.arguments)] for call in calls]
        told.model, told.usage = answer.model, [answer.usage.prompt_tokens, answer.usage.completion_tokens]


class Responses(OpenAI):
    api = "responses"
    asked: ClassVar[Any] = {"model": "fast", "input": "hello", "tools": [{"type": "function", **FUNCTION}]}

    def body(self, client: Any) -> Any:
        return client.responses.create(**self.asked)

    def stream(self, client: Any) -> Any:
        return client.responses.stream(**self.asked)

    def piece(self, event: Any) -> str | None:
        return event.delta if event.type == "response.output_text.delta" else None

    def final(self, stream: Any) -> Any:
        return stream.get_final_response()

    def read(self, answer: Any, told: Told) -> None:
        told.text, told.model = answer.output_text, answer.model
        told.usage = [answer.usage.input_tokens, answer.usage.output_tokens]
        for item in answer.output:
            if item.type == "reasoning":
                told.thoughts += "".join(part.text for part in item.summary)
            if item.type == "function_call":
                told.tools.append([item.name, json.loads(item.arguments)])


class Messages(SDK):
    api = "messages"
    asked: ClassVar[Any] = {
        **{"model": "fast", "max_tokens": 100, "messages": HELLO},
        "tools": [NAMED | {"input_schema": PARAMETERS}],
    }

    def client(self, url: str, is_async: bool) -> Any:
        kind = getattr(pytest.importorskip("anthropic"), "AsyncAnthropic" if is_async else "Anthropic")
        return kind(base_url=url, api_key="k", max_retries=0)

    def body(self, client: Any) -> Any:
        return client.messages.create(**self.asked)

    def stream(self, client: Any) -> Any:
        return client.messages.stream(**self.asked)

    def piece(self, event: Any) -> str | None:
        return event.text if event.type == "text" else None

    def final(self, stream: Any) -> Any:
        return stream.get_final_message()

    def read(self, answer: Any, told: Told) -> None:
        told.model, told.usage = answer.model, [answer.usage.input_tokens, answer.usage.output_tokens]
        for part in answer.content:
            if part.type == "thinking":
                told.thoughts += part.thinking
            if part.type == "text":
                told.text += part.text
            if part.type == "tool_use":
                told.tools.append([part.name, part.input])


class Gemini(SDK):
    api = "gemini"
    asked: ClassVar[Any] = {"model": "fast", "contents": "hello"}

    def client(self, url: str, is_async: bool) -> Any:
        genai = pytest.importorskip("google.genai")
        client = genai.Client(api_key="k", http_options={"base_url": url})
        return client.aio if is_async else client

    def body(self, client: Any) -> Any:
        return client.models.generate_content(**self.asked)

    def stream(self, client: Any) -> Any:
        return _Chunks(client.models.generate_content_stream(**self.asked))

    def piece(self, event: Any) -> str | None:
        parts = event.candidates[0].content.parts
        return "".join(part.text for part in parts if part.text and not part.thought)

    def final(self, stream: _Chunks) -> Any:
        return stream.seen

    def read(self, answer: Any, told: Told) -> None:
        chunks = answer if isinstance(answer, list) else [answer]
        for part in (part for chunk in chunks for part in chunk.candidates[0].content.parts):
            if part.function_call:
                told.tools.append([part.function_call.name, part.function_call.args])
            elif part.thought:
                told.thoughts += part.text
            else:
                told.text += part.text
        used = chunks[-1].usage_metadata
        told.model, told.usage = chunks[-1].model_version, [used.prompt_token_count, used.candidates_token_count]


class _Chunks:
    """Google's SDK gives a plain generator, or a coroutine that gives one."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.seen: list[Any] = []

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.call.close()

    def __iter__(self) -> Any:
        for chunk in self.call:
            self.seen.append(chunk)
            yield chunk

    async def __aenter__(self) -> Any:
        self.generator = await self.call
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.generator.aclose()

    async def __aiter__(self) -> Any:
        async for chunk in self.generator:
            self.seen.append(chunk)
            yield chunk


def _sync(sdk: SDK, client: Any, scene: Scene, told: Told) -> None:
    if not scene.stream:
        return sdk.read(sdk.body(client), told)
    with sdk.stream(client) as stream:
        for event in stream:
            if piece := sdk.piece(event):
                told.pieces.append(piece)
                if scene.leaves:
                    return None
        return sdk.read(sdk.final(stream), told)


async def _async(sdk: SDK, client: Any, scene: Scene, told: Told) -> None:
    if not scene.stream:
        return sdk.read(await sdk.body(client), told)
    task = asyncio.current_task()
    assert task is not None
    async with sdk.stream(client) as stream:
        async for event in stream:
            if piece := sdk.piece(event):
                told.pieces.append(piece)
                if scene.leaves:
                    task.cancel()
        final = sdk.final(stream)
        return sdk.read(await final if inspect.isawaitable(final) else final, told)


@contextlib.asynccontextmanager
async def asked(sdk: SDK, is_async: bool, url: str, scenes: Sequence[Scene]) -> AsyncIterator[list[Told]]:
    """What the SDK makes of each scene; it is closed after the block."""
    client, answers = sdk.client(url, is_async), [Told() for _ in scenes]
    try:
        for scene, told in zip(scenes, answers, strict=True):
            try:
                if is_async:
                    await asyncio.gather(_async(sdk, client, scene, told))
                else:
                    await asyncio.to_thread(_sync, sdk, client, scene, told)
            except asyncio.CancelledError:
                assert scene.leaves
            except Exception as error:
                status = getattr(error, "status_code", None) or getattr(error, "code", None)
                names = [kind.__name__ for kind in type(error).__mro__]
                told.error = {"names": names, "status": status, "message": str(error)}
        yield answers
    finally:
        if not is_async:
            client.close()
        elif sdk.api == "gemini":
            await client.aclose()
        else:
            await client.close()
