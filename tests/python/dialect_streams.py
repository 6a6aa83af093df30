"""Streams and bodies of each API: written for the tests, and recorded."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from support import CORPUS

TEXT = "naïve 😀 漢字"


def block(value: Any, event: str | None = None, end: str = "\n", *, spaced: bool = False) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=None if spaced else (",", ":"))
    name = "" if event is None else f"event: {event}{end}"
    return f"{name}data: {text}{end}{end}".encode()


def named(*values: dict, spaced: bool = False) -> bytes:
    """Events whose name is their type."""
    return b"".join(block(value, value["type"], spaced=spaced) for value in values)


DONE = b"data: [DONE]\n\n"


def chunk(delta: dict | None, finish: str | None = None, **more: Any) -> dict:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "x-1",
        "choices": choices,
    } | more


CHAT_USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
COST = {"cost": 6e-07, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}

CHAT = {
    "plain": block(chunk({"role": "assistant", "content": ""}, usage=None, obfuscation="abc"))
    + block(chunk({"content": TEXT}, usage=None, service_tier="default", obfuscation="q"))
    + block(chunk({}, "stop", usage=None))
    + block(chunk(None, usage=CHAT_USAGE, obfuscation=""))
    + DONE,
    "router": b": ROUTER PROCESSING\n\n" * 2
    + block(
        chunk({"role": "assistant", "content": "", "reasoning": TEXT, "reasoning_details": [{"data": "c2ln"}]})
        | {"provider": "P", "system_fingerprint": "fp_1"},
        spaced=True,
    )
    + block(
        chunk({"content": TEXT}, "stop") | {"choices": [{"delta": {"content": ""}, "native_finish_reason": "STOP"}]}
    )
    + block(chunk({"content": ""}, "stop", provider="P", usage=CHAT_USAGE | COST))
    + DONE,
    "odd": b"retry: 3000\n\nevent: ping\n\ndata:\n\n"
    + block(chunk({"role": None, "content": TEXT}))
    + block(chunk({"role": "", "reasoning_content": "a", "content": None}))
    + block({"id": "chatcmpl-1", "model": "x-1"})
    + block(chunk({"reasoning_content": "a", "reasoning": "b"}, "length"))
    + block(chunk(None, usage={"prompt_tokens": 1, "total_tokens": 1, "prompt_tokens_details": {"audio_tokens": 0}}))
    + DONE,
    "azure": block({"choices": [], "created": 0, "id": "", "model": "", "prompt_filter_results": [{"prompt_index": 0}]})
    + block(chunk({"content": TEXT}))
    + block(chunk({}, "content_filter"))
    + DONE,
    "usage in a choice": block(chunk({"content": TEXT}, "stop"))
    + block(
        chunk({})
        | {
            "choices": [
                {"delta": {}, "usage": {"prompt_tokens": 2, "completion_tokens": 1, "prompt_tokens_details": {}}}
            ]
        }
    )
    + DONE,
    "usage of groq": block(chunk({"content": TEXT}, "stop", x_groq={"id": "r", "usage": {"prompt_tokens": 2} | COST}))
    + DONE,
    "gateway": block(chunk({"content": TEXT}, system_fingerprint="fp"))
    + block(
        chunk(
            {"provider_metadata": {"gateway": {"cost": "0.1", "marketCost": "0.1", "routing": {"model": "x"}}}}, "stop"
        )
        | {"usage": {"prompt_tokens": 2, "cost": {"total_cost": 0.5}, "market_cost": 0.1, "cost_in_usd_ticks": 7}}
    )
    + block(chunk(None, x_groq={"usage_breakdown": {"models": [{"model": "x-1", "usage": {"total_tokens": 1}}]}}))
    + block({"error": {"code": 502, "message": "no", "metadata": {"provider_name": "P", "raw": "r"}}}),
    "cache hits": b": keep-alive\n\n"
    + block(chunk({"reasoning_content": TEXT, "content": None}))
    + block(chunk({}, "stop", usage={"prompt_tokens": 8, "completion_tokens": 1, "prompt_cache_hit_tokens": 6}))
    + DONE,
    "two choices": block(chunk({"content": TEXT}) | {"choices": [{"index": 0, "delta": {}}, {"index": 1, "delta": {}}]})
    + block(chunk(None) | {"choices": [{"delta": {}, "finish_reason": None}, {"delta": {}, "finish_reason": "stop"}]}),
    "no done": block(chunk({"content": TEXT})) + block(chunk({}, "stop")),
    "no final blank line": block(chunk({"content": TEXT}, "stop", usage=CHAT_USAGE | COST))[:-2],
    "error": block(chunk({"content": TEXT}))
    + block(chunk({"content": ""}, "error", provider="P", error={"code": 502, "message": "no"})),
    "cut": block(chunk({"content": TEXT})) + block(chunk({"content": TEXT}))[:-9],
    "early end": block(chunk({"content": TEXT})),
}

COMPLETIONS = {
    "plain": block({"id": "c", "model": "x-1", "choices": [{"text": TEXT, "index": 0, "finish_reason": None}]})
    + block({"id": "c", "model": "x-1", "choices": [{"text": "", "index": 0, "finish_reason": "stop"}]})
    + block({"id": "c", "model": "x-1", "choices": [], "usage": CHAT_USAGE | COST})
    + DONE,
    "odd": block({"id": "c", "model": "x-1", "usage": {"prompt_tokens": 1, "prompt_tokens_details": {}}}) + DONE,
}

START_USAGE = {"input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 1}
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def message_start(**usage: Any) -> dict:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "x-1", "content": []}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": START_USAGE | usage}
    return {"type": "message_start", "message": message}


def delta(value: dict, index: int = 0) -> dict:
    return {"type": "content_block_delta", "index": index, "delta": value}


def message_end(stop: str, **usage: Any) -> bytes:
    usage = {"output_tokens": 7} | usage
    return named(
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    )


TEXT_BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
MESSAGES = {
    "plain": named(message_start(service_tier="standard"), TEXT_BLOCK)
    + PING
    + named(delta({"type": "text_delta", "text": TEXT}), delta({"type": "text_delta", "text": "model"}), spaced=True)
    + message_end("end_turn", cache_read_input_tokens=None),
    "thoughts": named(
        message_start(),
        TEXT_BLOCK | {"content_block": {"type": "thinking", "thinking": "", "signature": ""}},
        delta({"type": "thinking_delta", "thinking": TEXT}),
        delta({"type": "signature_delta", "signature": "c2lnbmF0dXJl"}),
    )
    + message_end("max_tokens", input_tokens=4, output_tokens_details={"thinking_tokens": 5}),
    "router": named({**message_start(**COST), "provider": "P"}, TEXT_BLOCK)
    + named({"type": "message_start", "message": {"id": "msg_1", "model": "x-1", "provider": "P", "role": "assistant"}})
    + named(delta({"type": "text_delta", "text": TEXT}))
    + message_end("end_turn", **COST),
    "no final blank line": named(message_start(), TEXT_BLOCK) + message_end("end_turn")[:-1],
    "more after the end": named(message_start(), TEXT_BLOCK) + message_end("end_turn") + PING,
    "error": named(message_start(), {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "cut": named(message_start(), TEXT_BLOCK)[:-9],
    "early end": named(message_start(), TEXT_BLOCK),
}

RESPONSES_USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 14,
}


def response(kind: str, number: int, status: str, **more: Any) -> dict:
    said = {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "x-1", "output": []}
    said |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": None, "error": None} | more
    return {"type": f"response.{kind}", "sequence_number": number, "response": said}


def text_delta(number: int, text: str = TEXT) -> dict:
    event = {"type": "response.output_text.delta", "sequence_number": number, "item_id": "msg_1", "output_index": 0}
    return event | {"content_index": 0, "delta": text, "logprobs": [], "obfuscation": "xyz"}


def unnumbered(event: dict) -> dict:
    return {name: value for name, value in event.items() if name != "sequence_number"}


BEGIN = (response("created", 0, "in_progress"), response("in_progress", 1, "in_progress"))
RESPONSES = {
    "plain": named(*BEGIN, text_delta(2), text_delta(3, "model"))
    + named(response("completed", 4, "completed", usage=RESPONSES_USAGE, service_tier="default"), spaced=True),
    "incomplete": named(*BEGIN, text_delta(2))
    + named(
        response(
            "incomplete",
            3,
            "incomplete",
            incomplete_details={"reason": "max_output_tokens"},
            usage={"input_tokens": 1, "output_tokens": 2, "input_tokens_details": {}, "output_tokens_details": {}}
            | COST,
        )
    ),
    "unnumbered": named(*map(unnumbered, [*BEGIN, text_delta(2)]))
    + b"retry: 10\n\n"
    + named(unnumbered(response("completed", 0, "completed", usage=RESPONSES_USAGE))),
    "gaps": named(response("created", 5, "in_progress"), text_delta(7), text_delta(7))
    + named(response("completed", 90, "completed", usage=RESPONSES_USAGE)),
    "reasoning": named(
        *BEGIN,
        {
            "type": "response.output_item.done",
            "sequence_number": 2,
            "output_index": 0,
            "item": {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAAA=="},
        },
        response("completed", 3, "completed", usage=RESPONSES_USAGE | COST, provider="P"),
    ),
    "failed": named(*BEGIN, response("failed", 2, "failed", error={"code": "server_error", "message": "no"})),
    "error": named(*BEGIN, {"type": "error", "sequence_number": 2, "code": "x", "message": "no", "param": None}),
    "nested error": named(*BEGIN, {"type": "error", "sequence_number": 2, "error": {"code": "x", "message": "no"}}),
    "more after an error": named(
        *BEGIN, {"type": "error", "sequence_number": 2, "error": {"code": "x"}}, text_delta(3)
    ),
    "no final blank line": named(*BEGIN, response("completed", 2, "completed", usage=RESPONSES_USAGE))[:-2],
    "cut": named(*BEGIN, text_delta(2))[:-9],
    "early end": named(*BEGIN),
}


def candidate(*parts: dict, finish: str | None = None, **usage: Any) -> dict:
    said: dict[str, Any] = {"content": {"parts": [*parts], "role": "model"}, "index": 0}
    if finish:
        said["finishReason"] = finish
    meta = {"promptTokenCount": 9, "totalTokenCount": 9} | usage
    return {"candidates": [said], "usageMetadata": meta, "modelVersion": "x-1", "responseId": "r1"}


def crlf(*values: dict) -> bytes:
    return b"".join(block(value, end="\r\n", spaced=True) for value in values)


GEMINI_USAGE = {
    "candidatesTokenCount": 3,
    "thoughtsTokenCount": 4,
    "cachedContentTokenCount": 5,
    "totalTokenCount": 16,
    "serviceTier": "standard",
}
GEMINI = {
    "plain": crlf(
        candidate({"text": TEXT}),
        candidate({"text": "modelVersion", "thoughtSignature": "c2ln"}),
        candidate({"text": ""}, finish="STOP", **GEMINI_USAGE),
    ),
    "thoughts": crlf(
        candidate({"text": TEXT, "thought": True}), candidate(finish="MAX_TOKENS", **GEMINI_USAGE, **COST)
    ),
    "blocked": crlf(
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 2}, "modelVersion": "x-1"}
    ),
    "error": crlf(candidate({"text": TEXT}), {"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}),
    "no final blank line": crlf(candidate({"text": TEXT}), candidate(finish="STOP", **GEMINI_USAGE))[:-2],
    "cut": crlf(candidate({"text": TEXT}), candidate({"text": TEXT}))[:-9],
    "early end": crlf(candidate({"text": TEXT})),
}

STREAMS = {
    "chat_completions": CHAT,
    "messages": MESSAGES,
    "responses": RESPONSES,
    "gemini": GEMINI,
    "completions": COMPLETIONS,
}

BODIES: dict[str, list[Any]] = {
    "chat_completions": [
        {
            "id": "chatcmpl-1",
            "model": "x-1",
            "provider": "P",
            "system_fingerprint": "fp",
            "choices": [
                {
                    "message": {
                        "role": "assistant",
                        "content": TEXT,
                        "reasoning": "r",
                        "reasoning_details": [{"data": "s"}],
                    },
                    "native_finish_reason": "STOP",
                    "finish_reason": "stop",
                }
            ],
            "usage": CHAT_USAGE | COST | {"prompt_tokens_details": {}},
        },
        {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}},
    ],
    "messages": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "x-1",
            "content": [{"type": "thinking", "thinking": TEXT, "signature": "c2ln"}],
            "stop_reason": "end_turn",
            "usage": START_USAGE | COST,
        },
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    ],
    "responses": [
        response("completed", 0, "completed", usage=RESPONSES_USAGE | COST)["response"],
        response("completed", 0, "completed", usage={"input_tokens_details": {}, "output_tokens_details": {}})[
            "response"
        ],
    ],
    "gemini": [
        candidate({"text": TEXT}, finish="STOP", **GEMINI_USAGE),
        [candidate({"text": TEXT}), candidate({"text": ""}, finish="STOP", **GEMINI_USAGE, **COST)],
        {"error": {"code": 404, "message": "no", "status": "NOT_FOUND"}},
    ],
    "completions": [{"id": "c", "model": "x-1", "choices": [{"text": TEXT}], "usage": CHAT_USAGE | COST}],
}


KINDS = {
    "chat": "chat_completions",
    "messages": "messages",
    "responses": "responses",
    "generate": "gemini",
    "completions": "completions",
}


@dataclass(frozen=True)
class Recording:
    """One stream of an API, and the address it was recorded at."""

    api: str
    stream: bytes
    endpoint: str = ""


def _recorded() -> Iterator[tuple[str, Recording]]:
    index = CORPUS / "index.tsv"
    if not index.exists():
        return
    with index.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            file, api = CORPUS / row["file"], KINDS.get(row["api"].rpartition("-")[2])
            if api is not None and file.exists():
                yield file.stem, Recording(api, file.read_bytes(), row["endpoint"])


RECORDED = dict(_recorded())
OWN = {f"{api} {name}": Recording(api, stream) for api, streams in STREAMS.items() for name, stream in streams.items()}
EVERY = OWN | RECORDED
every_stream = pytest.mark.parametrize("recording", EVERY.values(), ids=EVERY)
