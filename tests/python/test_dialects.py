"""Which dialect a request speaks, and dialects of one's own."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import dialect_oracle
import dialect_streams
import pytest
import support
from dialect_oracle import last, members
from dialect_runs import NAMES, message_for, passed, whole
from dialect_streams import EVERY
from oracle import blocks_of, dispatched
from sse_fast import Capture, Remove, Replace, Rewriter, RuleError, Rules, TruncatedError
from sse_fast.dialects import (
    DIALECTS,
    Dialect,
    Usage,
    chat_completions,
    completions,
    for_path,
    gemini,
    get,
    messages,
    responses,
)
from support import CORPUS

# Which dialect.


AZURE = "/openai/deployments/gpt-4o"
VERTEX = "/v1beta1/projects/p/locations/us-east5/publishers"
PATHS = [
    ("/v1/chat/completions", chat_completions),
    ("/chat/completions", chat_completions),
    ("/api/v1/chat/completions", chat_completions),
    ("https://openrouter.ai/api/v1/chat/completions", chat_completions),
    (f"{AZURE}/chat/completions?api-version=2024-10-21", chat_completions),
    ("/openai/v1/chat/completions", chat_completions),
    ("/models/chat/completions", chat_completions),
    ("/v1beta/openai/chat/completions", chat_completions),
    ("/v1/projects/p/locations/l/endpoints/openapi/chat/completions", chat_completions),
    ("/gateway/tenant-7/v1/chat/completions/", chat_completions),
    ("//chat/completions", chat_completions),
    ("//[x/v1/chat/completions#y", chat_completions),
    ("https://[::1]:8080/v1/chat/completions?a=/v1/messages", chat_completions),
    (f"{VERTEX}/mistralai/models/mistral-small:streamRawPredict", chat_completions),
    ("/v1/completions", completions),
    (f"{AZURE}/completions?api-version=1", completions),
    ("/v1/messages", messages),
    ("/v1/messages?beta=true", messages),
    ("/anthropic/v1/messages", messages),
    (f"{VERTEX}/anthropic/models/claude-3-7-sonnet@20250219:streamRawPredict", messages),
    (f"{VERTEX}/anthropic/models/claude-3-7-sonnet@20250219:rawPredict", messages),
    ("/v1/responses", responses),
    ("/responses", responses),
    ("/openai/v1/responses?api-version=preview", responses),
    ("/v1/responses/resp_0f4faba1?stream=true&starting_after=4", responses),
    ("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse&key=k", gemini),
    ("/v1beta/models/gemini-2.5-flash:generateContent", gemini),
    (f"{VERTEX}/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse", gemini),
    ("/v1beta/tunedModels/mine:generateContent", gemini),
    ("/v1/embeddings", None),
    ("/v1/models", None),
    ("/v1/models/gpt-4o", None),
    ("/v1/audio/transcriptions", None),
    ("/v1/images/generations", None),
    ("/v1/messages/count_tokens", None),
    ("/v1/messages/batches", None),
    ("/v1/responses/resp_1/input_items", None),
    ("/v1/responses/resp_1/cancel", None),
    ("/v1/responses/compact", None),
    ("/v1/chat/completions/chatcmpl-1/messages/x", None),
    ("/v1/threads/thread_1/runs", None),
    ("/v1/threads/thread_1/messages", None),
    ("/xchat/completions", None),
    (f"{VERTEX}/meta/models/llama:rawPredict", None),
    ("/v1beta/models/gemini-2.5-flash:countTokens", None),
    ("/v1beta/models/text-embedding-004:embedContent", None),
    ("/v2/chat", None),
    ("/v1/chat/completionsx", None),
    ("/?next=/v1/messages", None),
    ("/", None),
    ("", None),
]


@pytest.mark.parametrize(("path", "dialect"), PATHS)
def test_for_path(path, dialect):
    assert for_path(path) is dialect


def test_for_path_of_recorded_addresses():
    for recording in EVERY.values():
        # Writer's chat has a path of its own; some recordings have no address.
        if recording.endpoint and not recording.endpoint.startswith("api.writer.com/v1/chat"):
            assert for_path(f"https://{recording.endpoint}") is get(recording.api)
            assert for_path("/" + recording.endpoint.partition("/")[2] + "?x=1") is get(recording.api)


def test_get():
    assert [get(name) for name in NAMES] == [chat_completions, messages, responses, gemini, completions]
    with pytest.raises(KeyError, match="there are chat_completions, messages"):
        get("chat")


# Errors.


def test_keep_alive():
    """A whole block that no client takes for an event of the answer."""
    for dialect in DIALECTS:
        bom, (block,), tail = blocks_of(dialect.keep_alive)
        assert bom == b""
        assert tail.lines == []
        ending = b"\r\n" if dialect is gemini else b"\n"
        assert {line.ending for line in block.lines} == {ending}
        if dialect is messages:
            assert [(event, json.loads(data)) for event, data, *_ in dispatched(dialect.keep_alive)] == [
                ("ping", {"type": "ping"})
            ]
        else:
            assert dispatched(dialect.keep_alive) == []
            assert block.is_only_comments == (dialect is not gemini)  # whose SDK takes comments for JSON
    assert messages.keep_alive == dialect_streams.PING


# A dialect of one's own.


def _bill(captured: Any) -> Usage:
    tokens = (captured.get("usage") or {}).get("tokens", {})
    return Usage(input=tokens.get("input_tokens"), output=tokens.get("output_tokens"))


V2_CHAT = Dialect(
    name="v2_chat",
    paths=("/v2/chat",),
    models=("$.model",),
    repairs=(Remove("$.delta.message.role", when=None),),
    observers={"type": "$.type", "id": "$.id", "finish_reason": "$.delta.finish_reason", "usage": "$.delta.usage"},
    read_usage=_bill,
    has_ended=lambda report: report.captured.get("type") == "message-end",
)
V2_STREAM = b"".join(
    dialect_streams.block(value, value["type"])
    for value in (
        {"type": "message-start", "id": "m1", "model": "x-1", "delta": {"message": {"role": None}}},
        {"type": "content-delta", "delta": {"message": {"content": {"text": dialect_streams.TEXT}}}},
        {
            "type": "message-end",
            "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 7, "output_tokens": 2}}},
        },
    )
)


def test_a_dialect_of_one_s_own():
    recorded = [file.read_bytes() for file in sorted((CORPUS / "sse").glob("cohere-v2chat*.sse"))]
    for stream in (V2_STREAM, *recorded):
        out, report = passed(V2_CHAT, stream, *V2_CHAT.rules(repair=True))
        assert report.outcome == "completed"
        assert report.captured["finish_reason"] == last(
            members(dialect_oracle.values_of(stream), "delta", "finish_reason")
        )
        assert V2_CHAT.usage(report).output is not None
        assert V2_CHAT.is_terminal(report)
        assert len(dispatched(out)) == len(dispatched(stream))
    out = support.run(Rules(V2_CHAT.rules(model="ours", repair=True, strip_cost=True)), V2_STREAM)
    assert out == V2_STREAM.replace(b"x-1", b"ours").replace(b'"role":null', b"")


def test_a_dialect_of_one_s_own_says_the_rest_as_any_api():
    assert V2_CHAT.serves("/v2/chat")
    assert not V2_CHAT.serves("/v2/chat/x")
    out, report = passed(V2_CHAT, V2_STREAM[: V2_STREAM.index(b"event: message-end")])
    ((event, data, *_),) = dispatched(out)[2:]
    assert (event, report.outcome) == ("error", "truncated")
    assert json.loads(data)["error"] == {"type": "upstream_error", "message": message_for(TruncatedError(""))}
    assert V2_CHAT.error_body(TimeoutError())[0] == 504
    assert V2_CHAT.keep_alive == b": keep-alive\n\n"
    assert Dialect(name="bare").usage(report) == Usage()
    assert not Dialect(name="bare").is_complete(report)  # unless it says otherwise, `[DONE]` ends a stream


def test_a_variant():
    """F15: the form of a keep-alive is an option."""
    variant = chat_completions.replace(keep_alive=b": ping\n\n", models=(*chat_completions.models, "$.x_model"))
    assert variant.keep_alive == b": ping\n\n"
    assert variant.rules(model="ours") == [*chat_completions.rules(model="ours"), Replace("$.x_model", "ours")]
    with pytest.raises(dataclasses.FrozenInstanceError):
        variant.name = "x"
    with pytest.raises(RuleError):
        Rules(chat_completions.replace(models=("model",)).rules(model="ours"))


def test_captures_go_with_rules_of_one_s_own():
    rules = Rules([*messages.rules(model="ours"), Capture("role", "$.message.role"), *messages.captures()])
    rewriter = Rewriter(rules)
    support.through(rewriter, [whole("messages")])
    assert (rewriter.captured["role"], rewriter.captured["model"]) == ("assistant", "x-1")


def test_dialects_need_nothing_but_the_package():
    """No client library is loaded by them."""
    code = "import sys, sse_fast.dialects; print({'httpx', 'openai', 'starlette', 'pydantic'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
