"""An upstream without a model: it answers by replaying the sample streams, slowly and cut at awkward places.

`app` is an ASGI application, for any server and any client of the three APIs::

    uvicorn sse_fast.cli.demo.upstream:app --port 9000

    POST /v1/chat/completions    POST /v1/messages    POST /v1/responses

A request with `"stream": true` gets the event stream, any other the same answer as one JSON body.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from sse_fast import Parser, samples
from sse_fast.asgi import EventStreamResponse
from sse_fast.cli.demo.timeline import Timeline

PATHS = {
    "/v1/chat/completions": "chat_completions",
    "/v1/messages": "messages",
    "/v1/responses": "responses",
}
PAUSE = 0.004  # seconds between two chunks: a token comes in about a twelfth of a second
SEGMENT = 1_460  # what one TCP segment carries


class Upstream(Router):
    """The three APIs."""

    def __init__(self, *, pause: float = PAUSE) -> None:
        super().__init__([Route(path, self._answer, methods=["POST"]) for path in PATHS])
        self._pause = pause
        self.model: Any = None
        """What the latest request asked for."""
        self.sent = Timeline()
        """What has been sent of its stream."""

    async def _answer(self, request: Request) -> Response:
        try:
            asked = json.loads(await request.body())
            self.model, streams = asked["model"], asked.get("stream")
        except (ValueError, LookupError, TypeError, AttributeError):
            return JSONResponse({"error": {"message": "the body is no JSON object with a model"}}, 400)
        name = PATHS[request.url.path]
        if not streams:
            return JSONResponse(whole(name))
        self.sent = Timeline()
        return EventStreamResponse(self._replay(sample(name), self.sent))

    async def _replay(self, stream: bytes, sent: Timeline) -> AsyncIterator[bytes]:
        for chunk in awkward_chunks(stream):
            sent.add(len(chunk), time.perf_counter())
            yield chunk
            await asyncio.sleep(self._pause if len(chunk) < SEGMENT else 0)


@cache
def sample(name: str) -> bytes:
    """The stream that is replayed."""
    return samples.load(name)


def awkward_chunks(stream: bytes, *, seed: int = 1) -> Iterator[bytes]:
    """1 to 40 bytes at a time, cutting UTF-8 sequences, CRLFs and keys; long lines in segments of 1,460."""
    sizes = random.Random(seed)
    at = 0
    while at < len(stream):
        ahead = stream[at : at + SEGMENT]
        in_long_line = len(ahead) == SEGMENT and b"\n" not in ahead
        size = SEGMENT if in_long_line else sizes.randint(1, 40)
        yield stream[at : at + size]
        at += size


def whole(name: str) -> Any:
    """The answer of a sample stream as its API gives it where nobody asks for a stream."""
    stream = samples.load(name, image_bytes=0) + b"\n\n"
    events = [json.loads(event.data) for event in Parser().feed(stream) if event.data.startswith("{")]
    return {"chat_completions": _completion, "messages": _message, "responses": _response}[name](events)


def _completion(chunks: list[Any]) -> Any:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
    message = {"role": "assistant", "content": "".join(delta["content"] for delta in deltas)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "native_finish_reason": "stop"}
    return {**chunks[-1], "object": "chat.completion", "choices": [choice]}


def _message(events: list[Any]) -> Any:
    message: dict[str, Any] = events[0]["message"]
    for event in events:
        match event:
            case {"content_block": block}:
                message["content"].append(block)
            case {"delta": {"text": text}, "index": index}:
                message["content"][index]["text"] += text
            case {"delta": {"partial_json": text}, "index": index}:
                block = message["content"][index]
                block["input"] = (block["input"] or "") + text
            case {"delta": delta, "usage": usage}:
                message |= delta
                message["usage"] |= usage
    for block in message["content"]:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["input"])
    return message


def _response(events: list[Any]) -> Any:
    return events[-1]["response"]


app = Upstream()
