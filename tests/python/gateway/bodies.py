"""What clients ask and what models answer, in the dialects that matter here."""

from __future__ import annotations

import json
from typing import Any

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"


def event(value: Any, name: str | None = None) -> bytes:
    prefix = f"event: {name}\n" if name else ""
    return f"{prefix}data: {json.dumps(value)}\n\n".encode()


def chat_chunk(text: str, **more: Any) -> bytes:
    delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return event({"id": "c-1", "model": "real-1", "choices": [delta], **more})


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "cost": 6e-07}
CHAT_STREAM = [
    chat_chunk("Hel"),
    chat_chunk("lo"),
    event({"id": "c-1", "model": "real-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    event({"id": "c-1", "model": "real-1", "choices": [], "usage": USAGE}),
    DONE,
]
CHAT_BODY = {"id": "c-1", "model": "real-1", "choices": [{"message": {"content": "Hello"}}], "usage": USAGE}
CHAT_ERROR = event({"error": {"message": "no capacity", "code": 503}})


def ask(model: str = "fast", *, stream: bool = True) -> dict[str, Any]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
