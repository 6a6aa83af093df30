"""What a model says, as each API spells it: the events of its stream, and its body."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dialect_streams import (
    CHAT_USAGE,
    COST,
    DONE,
    GEMINI_USAGE,
    PING,
    RESPONSES_USAGE,
    START_USAGE,
    block,
    candidate,
    chunk,
    crlf,
    delta,
    message_start,
    named,
    response,
)

Events = list[bytes]


@dataclass(frozen=True)
class Said:
    """An answer, in the pieces that it streams in."""

    thoughts: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    tools: tuple[tuple[str, dict[str, str]], ...] = ()

    @property
    def thought(self) -> str:
        return "".join(self.thoughts)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def _halves(value: Any) -> tuple[str, str, str]:
    text = json.dumps(value, ensure_ascii=False)
    return "", text[:9], text[9:]


def _call(index: int, name: str | None, arguments: str) -> dict[str, Any]:
    whole = {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"index": index, **(whole if name else {"function": {"arguments": arguments}})}


def chat(said: Said) -> Events:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in said.thoughts]
    deltas += [{"content": piece} for piece in said.texts]
    for index, (name, arguments) in enumerate(said.tools):
        first, *rest = _halves(arguments)
        deltas.append({"tool_calls": [_call(index, name, first)]})
        deltas += [{"tool_calls": [_call(index, None, piece)]} for piece in rest]
    end = [chunk({}, "tool_calls" if said.tools else "stop"), chunk(None, usage=CHAT_USAGE | COST)]
    return [block(value) for value in [*map(chunk, deltas), *end]] + [DONE]


def chat_body(said: Said) -> dict[str, Any]:
    calls = [_call(index, name, json.dumps(arguments)) for index, (name, arguments) in enumerate(said.tools)]
    message: dict[str, Any] = {"role": "assistant", "content": said.text, "reasoning_content": said.thought}
    choice = {"index": 0, "message": message | {"tool_calls": calls}, "finish_reason": "tool_calls"}
    return {
        **{"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "x-1", "choices": [choice]},
        "usage": CHAT_USAGE | COST,
    }


def messages(said: Said) -> Events:
    parts: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if said.thoughts:
        pieces = [{"type": "thinking_delta", "thinking": piece} for piece in said.thoughts]
        sign = {"type": "signature_delta", "signature": "c2ln"}
        parts.append(({"type": "thinking", "thinking": "", "signature": ""}, [*pieces, sign]))
    if said.texts:
        parts.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in said.texts]))
    for number, (name, arguments) in enumerate(said.tools):
        pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in _halves(arguments)]
        parts.append(({"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}, pieces))
    events = [named(message_start()), PING]
    for index, (start, deltas) in enumerate(parts):
        events.append(named({"type": "content_block_start", "index": index, "content_block": start}))
        events += [named(delta(each, index)) for each in deltas]
        events.append(named({"type": "content_block_stop", "index": index}))
    end = {"stop_reason": "tool_use" if said.tools else "end_turn", "stop_sequence": None}
    usage = {"output_tokens": 7} | COST
    return [*events, named({"type": "message_delta", "delta": end, "usage": usage}), named({"type": "message_stop"})]


def messages_body(said: Said) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "thinking", "thinking": said.thought, "signature": "c2ln"}]
    content.append({"type": "text", "text": said.text})
    for number, (name, arguments) in enumerate(said.tools):
        content.append({"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments})
    return {
        **{"id": "msg_1", "type": "message", "role": "assistant", "model": "x-1", "content": content},
        **{"stop_reason": "tool_use", "stop_sequence": None, "usage": START_USAGE | {"output_tokens": 7} | COST},
    }


def _items(said: Said) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if said.thoughts:
        summary = [{"type": "summary_text", "text": said.thought}]
        items.append({"type": "reasoning", "id": "rs_1", "summary": summary, "status": "completed"})
    if said.texts:
        part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "content": [part], "status": "completed"}
        items.append(message)
    for number, (name, arguments) in enumerate(said.tools):
        call = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": name}
        items.append({**call, "arguments": json.dumps(arguments, ensure_ascii=False), "status": "completed"})
    return items


def _spelled(item: dict[str, Any], said: Said) -> list[dict[str, Any]]:
    """The events in which one item comes."""
    of: dict[str, Any] = {"item_id": item["id"]}
    if item["type"] == "function_call":
        kind, begun = "response.function_call_arguments", item | {"arguments": ""}
        pieces = _halves(json.loads(item["arguments"]))
        middle = [{"type": f"{kind}.delta", **of, "delta": piece} for piece in pieces]
        middle.append({"type": f"{kind}.done", **of, "name": item["name"], "arguments": item["arguments"]})
    elif item["type"] == "reasoning":
        kind, begun, of["summary_index"] = "response.reasoning_summary", item | {"summary": []}, 0
        middle = [{"type": f"{kind}_part.added", **of, "part": {"type": "summary_text", "text": ""}}]
        middle += [{"type": f"{kind}_text.delta", **of, "delta": piece} for piece in said.thoughts]
        middle.append({"type": f"{kind}_text.done", **of, "text": said.thought})
        middle.append({"type": f"{kind}_part.done", **of, "part": item["summary"][0]})
    else:
        begun, of["content_index"], (part,) = item | {"content": []}, 0, item["content"]
        middle = [{"type": "response.content_part.added", **of, "part": part | {"text": ""}}]
        middle += [{"type": "response.output_text.delta", **of, "delta": each, "logprobs": []} for each in said.texts]
        middle.append({"type": "response.output_text.done", **of, "text": said.text, "logprobs": []})
        middle.append({"type": "response.content_part.done", **of, "part": part})
    added = {"type": "response.output_item.added", "item": begun | {"status": "in_progress"}}
    return [added, *middle, {"type": "response.output_item.done", "item": item}]


def responses(said: Said) -> Events:
    events = [response("created", 0, "in_progress"), response("in_progress", 0, "in_progress")]
    for index, item in enumerate(_items(said)):
        events += [each | {"output_index": index} for each in _spelled(item, said)]
    events.append({"type": "response.completed", "response": responses_body(said)})
    return [named(each | {"sequence_number": number}) for number, each in enumerate(events)]


def responses_body(said: Said) -> dict[str, Any]:
    whole: dict[str, Any] = response("completed", 0, "completed", usage=RESPONSES_USAGE | COST, output=_items(said))
    return whole["response"]


def _parts(said: Said) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"text": piece, "thought": True} for piece in said.thoughts]
    parts += [{"text": piece} for piece in said.texts]
    return parts + [{"functionCall": {"name": name, "args": arguments}} for name, arguments in said.tools]


def gemini(said: Said) -> Events:
    events = [crlf(candidate(part)) for part in _parts(said)]
    return [*events, crlf(candidate({"text": ""}, finish="STOP", **GEMINI_USAGE, **COST))]


def gemini_body(said: Said) -> dict[str, Any]:
    return candidate(*_parts(said), finish="STOP", **GEMINI_USAGE, **COST)


STREAM = {"chat_completions": chat, "messages": messages, "responses": responses, "gemini": gemini}
BODY = {
    "chat_completions": chat_body,
    "messages": messages_body,
    "responses": responses_body,
    "gemini": gemini_body,
}
USED = {"chat_completions": [9, 5], "messages": [3, 7], "responses": [9, 5], "gemini": [9, 3]}
"""Tokens of input and of output, as the API counts them."""
