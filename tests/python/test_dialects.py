"""Each dialect over recorded streams and our own: what leaves, what is captured, how they end and fail."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dialect_streams
import pytest
import support
from dialect_streams import ALL, ALL_OPTIONS, BODIES, EVERY, OWN, STREAMS, at, every_stream, spelled, wanted
from oracle import blocks_of, dispatched, expected
from sse_fast import Capture, IdleTimeoutError, Remove, Replace, Rewriter, RuleError, Rules, TruncatedError
from sse_fast.aio import RewriteStream, StreamReport, rewrite_iter
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
from test_aio import LONG, MOMENT, Upstream
from test_corpus import CORPUS

NAMES = list(STREAMS)
APIS = NAMES[:4]
each_api = pytest.mark.parametrize("api", APIS)
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def rewriter_for(dialect: Dialect, **options: Any) -> Rewriter:
    rules = [*dialect.rules(**options), *dialect.captures()]
    return Rewriter(rules, **dialect.policies(repair=options.get("repair", False)))


def whole(api: str) -> bytes:
    return STREAMS[api]["plain"]


def passed(dialect: Dialect, stream: bytes, *rules: Any, errors: Any = "event") -> tuple[bytes, StreamReport]:
    """All that comes out of a stream with the captures, and its report."""
    with rewrite_iter([stream], Rewriter([*rules, *dialect.captures()]), dialect=dialect, errors=errors) as outputs:
        out = b"".join(outputs)
    return out, outputs.report


# Rewriting -------------------------------------------------------------------------------------------


@every_stream
def test_no_option_changes_no_byte(recording):
    dialect, stream = get(recording.api), recording.stream
    assert dialect.rules() == dialect.body_rules() == []
    assert dialect.policies() == {}
    for chunks in ([stream], support.random_cuts(stream, 1)):
        out = support.through(rewriter_for(dialect), chunks)
        assert out == expected(stream).output
        assert out.startswith(stream)  # an ending may follow


@every_stream
def test_each_option_does_what_a_naive_oracle_does(recording):
    for name, options in ALL_OPTIONS.items():
        out = support.through(rewriter_for(get(recording.api), **options), support.random_cuts(recording.stream, 2))
        _, blocks, tail = blocks_of(out)
        should = wanted(recording.api, recording.stream, options)
        for came, each in zip([*blocks, tail] if tail.lines else blocks, should, strict=True):
            if not each.changes:
                assert came.raw == each.block.raw, name
                continue
            assert repr(spelled(came.payload)) == repr(each.value), name  # members in their order, numbers as spelled
            rest = [
                [(line.content, line.ending) for line in one.lines if line not in one.data]
                for one in (came, each.block)
            ]
            assert rest[0] == rest[1], name


# One line for each operation: API, option, what stands in an event, what is left of it; and in a JSON body.
PRICED = b'{"total":9,"cost":6e-07,"is_byok":false,"cost_details":{"a":1}}'
ERROR = b'{"error":{"message":"no"}}'
OPERATIONS = {
    "chat cost": ("chat_completions", "strip_cost", b'{"usage":%s}' % PRICED, b'{"usage":{"total":9}}', "same"),
    "messages cost": ("messages", "strip_cost", b'{"usage":%s}' % PRICED, b'{"usage":{"total":9}}', "same"),
    "messages cost at the start": (
        "messages",
        "strip_cost",
        b'{"message":{"usage":%s}}' % PRICED,
        b'{"message":{"usage":{"total":9}}}',
        "stream",
    ),
    "responses cost": (
        "responses",
        "strip_cost",
        b'{"response":{"usage":%s}}' % PRICED,
        b'{"response":{"usage":{"total":9}}}',
        "stream",
    ),
    "responses cost in a body": ("responses", "strip_cost", b'{"usage":%s}' % PRICED, b'{"usage":{"total":9}}', "body"),
    "chat cached_tokens": (
        "chat_completions",
        "repair",
        b'{"choices":[],"usage":{"prompt_tokens_details":{"a":1}}}',
        b'{"choices":[],"usage":{"prompt_tokens_details":{"a":1,"cached_tokens":0}}}',
        "same",
    ),
    "chat without details": (
        "chat_completions",
        "repair",
        b'{"choices":[],"usage":{}}',
        b'{"choices":[],"usage":{}}',
        "same",
    ),
    "responses cached_tokens": (
        "responses",
        "repair",
        b'{"sequence_number":4,"response":{"usage":{"input_tokens_details":{}}}}',
        b'{"sequence_number":4,"response":{"usage":{"input_tokens_details":{"cached_tokens":0}}}}',
        "stream",
    ),
    "responses cached_tokens in a body": (
        "responses",
        "repair",
        b'{"usage":{"input_tokens_details":{}}}',
        b'{"usage":{"input_tokens_details":{"cached_tokens":0}}}',
        "body",
    ),
    "messages cached tokens": ("messages", "repair", b'{"usage":{}}', b'{"usage":{}}', "same"),
    "chat null role": (
        "chat_completions",
        "repair",
        b'{"choices":[{"delta":{"role":null,"content":"a"}}]}',
        b'{"choices":[{"delta":{"content":"a"}}]}',
        "stream",
    ),
    "chat choices": ("chat_completions", "repair", b'{"id":"a"}', b'{"id":"a","choices":[]}', "stream"),
    "chat error": ("chat_completions", "repair", ERROR, ERROR, "body"),
    "responses number": ("responses", "repair", b'{"type":"a"}', b'{"type":"a","sequence_number":0}', "stream"),
}


@pytest.mark.parametrize(("api", "option", "before", "after", "where"), OPERATIONS.values(), ids=OPERATIONS)
def test_operations(api, option, before, after, where):
    dialect = get(api)
    if where != "body":
        rules = Rules(dialect.rules(**{option: True}))
        assert support.run(rules, b"data: %s\n\n" % before) == b"data: %s\n\n" % after
    if where != "stream":
        assert Rules(dialect.body_rules(**{option: True})).rewrite_json(before) == after


@each_api
def test_ids_and_reconnection_times_stay(api):
    """F12."""
    dialect, lines = get(api), b"id: 7\nretry: 100\n"
    blocks = [each.raw for each in blocks_of(whole(api))[1]]
    rewriter = rewriter_for(dialect, **ALL)
    out = support.through(rewriter, [b"".join(lines + block for block in blocks)])
    assert out == b"".join(
        lines + each.raw for each in blocks_of(support.run(Rules(dialect.rules(**ALL)), whole(api)))[1]
    )
    assert rewriter.last_event_id == "7"


@each_api
def test_numbers_are_not_rounded(api):
    """F33."""
    numbers = b"[9007199254740993,123456789012345678901234567890,1.0,1e21,0.000075,6e-07,-0]"
    key = {"messages": b'"message":{"model":"x-1","n":%s}', "responses": b'"response":{"model":"x-1","n":%s}'}.get(api)
    key = key or (b'"modelVersion":"x-1","n":%s' if api == "gemini" else b'"model":"x-1","n":%s')
    payload = b"{%s}" % (key % numbers)
    out = support.run(Rules(get(api).rules(model="ours")), b"data: %s\n\n" % payload)
    assert out == b"data: %s\n\n" % payload.replace(b"x-1", b"ours")


@each_api
def test_comments_become_one_s_own_keep_alive(api):
    """F14."""
    dialect = get(api)
    stream = b": ROUTER PROCESSING\n\n" + whole(api)
    out = support.run(Rules(dialect.rules(model="ours")), stream, comments="keep-alive")
    assert out == b": keep-alive\n\n" + support.run(Rules(dialect.rules(model="ours")), whole(api))
    assert support.run(Rules(()), stream, comments="drop") == whole(api)


SECRETS = (
    "obfuscation",
    "signature",
    "thoughtSignature",
    "encrypted_content",
    "reasoning_details",
    "redacted_thinking",
)


def secrets(stream: bytes) -> list[str]:
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            found.extend(json.dumps([name, value[name]]) for name in SECRETS if name in value)
        for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(each)

    look([*dialect_streams.values_of(stream)])
    return found


def test_obfuscation_and_signatures_are_never_touched():
    seen = set()
    for recording in EVERY.values():
        options = ALL | {"drop_usage_chunk": False}  # the whole chunk goes, its padding with it
        out = support.run(Rules(get(recording.api).rules(**options)), recording.stream)
        assert secrets(out) == secrets(recording.stream)
        seen.update(json.loads(secret)[0] for secret in secrets(out))
    assert seen >= set(SECRETS[:5])


def test_a_masked_model_is_nowhere():
    """F39: in each place where an API names it, Azure's empty name included, however the key is spelled."""
    for name, recording in OWN.items():
        stream = recording.stream.replace(b'"model":', b'"mod\\u0065l":')
        out = support.run(Rules(get(recording.api).rules(model="ours")), stream)
        assert b"x-1" not in out or name.endswith(" cut")  # half an event stays, and nobody dispatches it
        assert b'l":""' not in out


def test_a_recorded_model_is_nowhere_when_masked():
    for name, recording in EVERY.items():
        out = support.run(Rules(get(recording.api).rules(model="ours")), recording.stream)
        before, after = (full_parse(recording.api, stream)["models"] for stream in (recording.stream, out))
        assert after == ["ours"] * len(before), name


def test_a_mapping_masks_only_what_is_in_it():
    rules = Rules(responses.rules(model={"x-1": "ours"}))
    stream = STREAMS["responses"]["plain"]
    assert support.run(rules, stream) == stream.replace(b'"x-1"', b'"ours"').replace(
        b'"model": "x-1"', b'"model": "ours"'
    )
    assert support.run(rules, stream.replace(b"x-1", b"y")) == stream.replace(b"x-1", b"y")


def test_costs_keep_their_spelling_where_they_stay():
    """F33."""
    out = support.run(Rules(chat_completions.rules(model="ours")), STREAMS["chat_completions"]["router"])
    assert b'"cost":6e-07' in out


@each_dialect
def test_all_options_go_together(dialect):
    for model in ("ours", {"x-1": "ours"}):
        for reasoning in ("reasoning", "reasoning_content"):
            options = ALL | {"model": model, "reasoning": reasoning}
            assert Rules([*dialect.rules(**options), *dialect.captures()])
            Rules(dialect.body_rules(**options))
    with pytest.raises(ValueError, match="'thinking'"):
        dialect.rules(reasoning="thinking")


# Captures and usage ------------------------------------------------------------------------------------


def last(values: Iterable[Any]) -> Any:
    return next((value for value in reversed([*values]) if value is not None), None)


def members(values: list[Any], *path: str) -> list[Any]:
    """The member at the path's end of each object at the path's start."""
    *parents, name = path
    return [each[name] for value in values for each in at(value, *parents) if name in each]


def number(usage: Any, *names: str) -> Any:
    for name in names:
        usage = usage.get(name) if isinstance(usage, dict) else None
    return usage if isinstance(usage, (int, float)) else None


def sum_of(*numbers: Any) -> Any:
    known = [each for each in numbers if each is not None]
    return sum(known) if known else None


def usage_of_openai(usage: Any, given: str, got: str) -> tuple[Any, ...]:
    cached = number(usage, f"{given}_tokens_details", "cached_tokens")
    return (
        number(usage, f"{given}_tokens"),
        number(usage, f"{got}_tokens"),
        number(usage, "total_tokens"),
        number(usage, "prompt_cache_hit_tokens") if cached is None else cached,
        number(usage, f"{got}_tokens_details", "reasoning_tokens"),
        next(
            (price for price in (number(usage, "cost"), number(usage, "cost", "total_cost")) if price is not None), None
        ),
    )


def usage_of_gemini(usage: Any) -> tuple[Any, ...]:
    thoughts = number(usage, "thoughtsTokenCount")
    return (
        number(usage, "promptTokenCount"),
        sum_of(number(usage, "candidatesTokenCount"), thoughts),
        number(usage, "totalTokenCount"),
        number(usage, "cachedContentTokenCount"),
        thoughts,
        None,
    )


def usage_of_messages(usage: dict) -> tuple[Any, ...]:
    cached = number(usage, "cache_read_input_tokens")
    return (
        sum_of(number(usage, "input_tokens"), number(usage, "cache_creation_input_tokens"), cached),
        number(usage, "output_tokens"),
        None,
        cached,
        number(usage, "output_tokens_details", "thinking_tokens"),
        number(usage, "cost"),
    )


def full_parse(api: str, stream: bytes) -> dict[str, Any]:
    """What is to be known of a stream, of all its events parsed."""
    values = dialect_streams.values_of(stream)
    if api in ("chat_completions", "completions"):
        places = [("usage",), ("choices", "usage"), ("x_groq", "usage")]
        usage = usage_of_openai(
            next(filter(None, (last(members(values, *p)) for p in places)), None), "prompt", "completion"
        )
        models, ids = members(values, "model"), members(values, "id")
        finish = members(values, "choices", "finish_reason")
    elif api == "messages":
        said: dict[str, Any] = {}
        for each in (last(members(values, "message", "usage")), last(members(values, "usage"))):
            said |= {name: value for name, value in (each or {}).items() if value is not None}
        usage = usage_of_messages(said)
        models, ids = members(values, "message", "model"), members(values, "message", "id")
        finish = members(values, "delta", "stop_reason")
    elif api == "responses":
        usage = usage_of_openai(last(members(values, "response", "usage")), "input", "output")
        models, ids = members(values, "response", "model"), members(values, "response", "id")
        finish = members(values, "response", "status")
    else:
        usage = usage_of_gemini(last(members(values, "usageMetadata")))
        models, ids = members(values, "modelVersion"), members(values, "responseId")
        finish = members(values, "candidates", "finishReason")
    given, got, total, *more = usage
    usage = Usage(given, got, sum_of(given, got) if total is None else total, *more)
    return {
        "models": models,
        "model": last(models),
        "id": last(ids),
        "finish": last(finish),
        "usage": usage,
    }


@every_stream
def test_captures_are_those_of_a_full_parse(recording):
    dialect = get(recording.api)
    should = full_parse(recording.api, recording.stream)
    for options in ({}, ALL):
        rewriter = rewriter_for(dialect, **options)
        support.through(rewriter, support.random_cuts(recording.stream, 3))
        report = StreamReport(captured=rewriter.captured, stats=rewriter.stats)
        assert dialect.usage(report) == dialect.read_usage(rewriter.captured) == should["usage"]
        assert [rewriter.captured[name] for name in ("model", "id", "finish_reason")] == [
            should["model"],
            should["id"],
            should["finish"],
        ]


@pytest.mark.parametrize(
    ("recording", "usage"),
    [
        ("chat_completions plain", Usage(9, 5, 14, 4, 2, None)),
        ("chat_completions router", Usage(9, 5, 14, 4, 2, 6e-07)),
        ("chat_completions usage in a choice", Usage(2, 1, 3)),
        ("chat_completions usage of groq", Usage(2, None, 2, None, None, 6e-07)),
        ("chat_completions cache hits", Usage(8, 1, 9, 6)),
        ("chat_completions early end", Usage()),
        ("completions plain", Usage(9, 5, 14, 4, 2, 6e-07)),
        ("messages plain", Usage(123, 7, 130, 100)),  # the input: 3, and 20 into the cache, and 100 from it
        ("messages thoughts", Usage(124, 7, 131, 100, 5)),
        ("messages router", Usage(123, 7, 130, 100, None, 6e-07)),
        ("messages early end", Usage(123, 1, 124, 100)),
        ("responses plain", Usage(9, 5, 14, 4, 2)),
        ("responses incomplete", Usage(1, 2, 3, None, None, 6e-07)),
        ("responses failed", Usage()),
        ("gemini plain", Usage(9, 7, 16, 5, 4)),  # the output: 3 of the candidates, 4 of thoughts
        ("gemini blocked", Usage(2, None, 2)),
    ],
)
def test_usage_in_six_numbers(recording, usage):
    dialect = get(OWN[recording].api)
    assert dialect.usage(passed(dialect, OWN[recording].stream)[1]) == usage


@pytest.mark.parametrize(
    "value", ["null", "NaN", "-Infinity", "1e400", "1" + 400 * "0", "true", '"7"', "[]", "{}", '{"total_cost": true}']
)
def test_usage_is_never_an_error(value):
    names = set(re.findall(r'"(\w*(?:[tT]oken|cost|usage)\w*)":', repr(STREAMS).replace("'", '"')))
    assert len(names) > 15
    for api, streams in STREAMS.items():
        for stream in streams.values():
            for name in names:
                hostile = re.sub(rf'("{name}": ?)([0-9.e-]+)'.encode(), rb"\g<1>" + value.encode(), stream)
                dialect = get(api)
                usage = dialect.usage(passed(dialect, hostile)[1])
                assert all(each is None or each >= 0 for each in dataclasses.astuple(usage))


def test_what_is_no_number_does_not_count():
    for value in (b"true", b'"7"', b"null", b"[7]"):
        body = b'{"usage":{"prompt_tokens":%s,"completion_tokens":2,"cost":%s}}' % (value, value)
        assert chat_completions.body_usage(body) == Usage(output=2, total=2)


@each_dialect
def test_usage_where_nothing_was_captured(dialect):
    assert dialect.usage(StreamReport()) == dialect.read_usage({}) == Usage()


def test_the_other_captures():
    def captured(api: str, name: str) -> Any:
        return passed(get(api), STREAMS[api][name])[1].captured

    assert captured("chat_completions", "plain")["service_tier"] == "default"
    assert captured("messages", "plain")["service_tier"] == "standard"
    assert captured("responses", "plain")["service_tier"] == "default"
    assert captured("gemini", "plain")["service_tier"] == "standard"
    assert captured("chat_completions", "error")["error"] == {"code": 502, "message": "no"}
    assert captured("messages", "error")["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert captured("responses", "failed")["response_error"] == {"code": "server_error", "message": "no"}
    assert captured("responses", "nested error")["error"] == {"code": "x", "message": "no"}
    assert captured("gemini", "error")["error"]["status"] == "UNAVAILABLE"
    assert captured("gemini", "blocked")["block_reason"] == "SAFETY"


def test_a_dropped_usage_chunk_is_billed():
    out = support.run(Rules(chat_completions.rules(drop_usage_chunk=True)), STREAMS["chat_completions"]["plain"])
    assert b'usage":{' not in out
    rewriter = rewriter_for(chat_completions, drop_usage_chunk=True, strip_cost=True)
    support.through(rewriter, [STREAMS["chat_completions"]["plain"]])
    assert chat_completions.read_usage(rewriter.captured).total == 14


# JSON bodies -------------------------------------------------------------------------------------------


def recorded_bodies() -> list[tuple[str, bytes]]:
    kinds = {"anthropic": "messages", "openai": "chat_completions", "gemini": "gemini", "eventstream": "gemini"}
    files = sorted((CORPUS / "nonsse").glob("*.body"))
    return [(kinds.get(file.name.split("_")[0].split("-")[0], "responses"), file.read_bytes()) for file in files]


def own_bodies() -> list[tuple[str, bytes]]:
    dumps = [json.dumps, lambda body: json.dumps(body, indent=2, ensure_ascii=False) + "\n"]
    return [(api, dump(body).encode()) for api, bodies in BODIES.items() for body in bodies for dump in dumps]


@pytest.mark.parametrize("name", ALL_OPTIONS)
def test_bodies_take_each_option(name):
    changed = 0
    for api, body in own_bodies() + recorded_bodies():
        out = Rules(get(api).body_rules(**ALL_OPTIONS[name])).rewrite_json(body)
        try:
            value = spelled(body)
        except ValueError:
            assert out == body
            continue
        before = repr(value)
        dialect_streams.change(api, value, ALL_OPTIONS[name], is_body=True)
        assert repr(spelled(out)) == repr(value)
        if before == repr(value):
            assert out == body
        changed += out != body
    assert changed or name in ("drop_usage_chunk", "reasoning")  # ours have that name already


@each_dialect
@pytest.mark.parametrize(
    "body", [b"", b"{", b"<html>502</html>", b'{"model":"x"}{"model":"x"}', b'{"model":"x",}', b'\xff{"model":"x"}']
)
def test_a_body_that_is_no_json_passes_unchanged(dialect, body):
    rules = Rules(dialect.body_rules(**ALL))
    assert rules.rewrite_json(body) == body
    assert dialect.body_usage(body) == Usage()


def test_usage_of_bodies():
    def usage(api: str, number: int = 0) -> Usage:
        return get(api).body_usage(json.dumps(BODIES[api][number]).encode())

    assert usage("chat_completions") == Usage(9, 5, 14, None, 2, 6e-07)
    assert usage("completions") == Usage(9, 5, 14, 4, 2, 6e-07)
    assert usage("messages") == Usage(123, 1, 124, 100, None, 6e-07)
    assert usage("responses") == Usage(9, 5, 14, 4, 2, 6e-07)
    assert usage("gemini") == Usage(9, 7, 16, 5, 4)
    assert usage("messages", 1) == usage("chat_completions", 1) == usage("gemini", 2) == Usage()
    assert chat_completions.body_usage("[" * 100_000) == Usage()


# Which dialect -----------------------------------------------------------------------------------------

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


# The end -----------------------------------------------------------------------------------------------

ENDINGS = {
    "chat_completions": {
        "no done": (False, True),
        "no final blank line": (False, True),
        "usage of groq": (True, True),
        "two choices": (False, True),
    },
    "messages": {"more after the end": (False, True), "thoughts": (True, True), "no final blank line": (True, True)},
    "responses": {
        "more after an error": (True, True),
        "incomplete": (True, True),
        "failed": (True, True),
        "nested error": (True, True),
    },
    "gemini": {"blocked": (True, True), "thoughts": (True, True)},
    "completions": {},
}
ENDS = [
    (api, name, ends)
    for api, more in ENDINGS.items()
    for name, ends in ({"plain": (True, True), "error": (True, True), "early end": (False, False)} | more).items()
    if name in STREAMS[api]
]


@pytest.mark.parametrize(("api", "name", "ends"), ENDS)
def test_is_terminal_and_is_complete(api, name, ends):
    dialect = get(api)
    out, report = passed(dialect, STREAMS[api][name])
    assert (dialect.is_terminal(report), dialect.is_complete(report)) == ends
    assert report.outcome == ("completed" if ends[1] else "truncated")
    assert out.startswith(STREAMS[api][name])
    is_told = out.endswith(dialect.error_event(TruncatedError(""), report))
    assert is_told == (not ends[1])


@each_api
def test_without_captures_any_end_between_events_is_good(api):
    dialect, stream = get(api), STREAMS[api]["early end"]
    with rewrite_iter([stream], Rewriter(()), dialect=dialect) as outputs:
        assert b"".join(outputs) == stream
    assert outputs.report.outcome == "completed"
    assert dialect.is_complete(outputs.report)
    assert not dialect.is_terminal(outputs.report)
    # Half an event is no good in any case.
    with rewrite_iter([STREAMS[api]["cut"]], Rewriter(()), dialect=dialect, errors="event") as outputs:
        out = b"".join(outputs)
    assert outputs.report.outcome == "truncated"
    assert out.endswith(dialect.error_event(TruncatedError(""), outputs.report))


def test_done_ends_a_chat_without_captures():
    assert chat_completions.is_terminal(StreamReport(stats=_stats(dialect_streams.DONE)))
    assert not messages.is_terminal(StreamReport(stats=_stats(dialect_streams.DONE)))


def _stats(stream: bytes) -> Any:
    rewriter = Rewriter(())
    support.through(rewriter, [stream])
    return rewriter.stats


def test_recorded_streams_are_complete_but_for_the_cut_ones():
    """F26: whether a stream has ended well is known from what it says, for every server that was recorded."""
    for name, recording in dialect_streams.RECORDED.items():
        dialect, values = get(recording.api), dialect_streams.values_of(recording.stream)
        said = full_parse(recording.api, recording.stream)
        types = [value.get("type") for value in values if isinstance(value, dict)]
        ended = {
            "messages": types[-1:] == ["message_stop"],
            "responses": types[-1:]
            in (["response.completed"], ["response.incomplete"], ["response.failed"], ["error"]),
        }.get(recording.api, said["finish"] is not None or b"data: [DONE]" in recording.stream)
        ended = ended or any("error" in value for value in values if isinstance(value, dict))
        ended = ended and not dialect_streams.parsed(recording.stream)[1].data  # half an event
        assert passed(dialect, recording.stream)[1].outcome == ("completed" if ended else "truncated"), name


# Errors ------------------------------------------------------------------------------------------------


class ReadTimeout(Exception):
    """Like those of httpx, which are no `TimeoutError`."""


SECRET = "https://user:hunter2@10.1.2.3:8443/v1?key=sk-abc"
TIMEOUTS = [TimeoutError(SECRET), IdleTimeoutError(SECRET), ReadTimeout(SECRET)]
OTHERS = [TruncatedError(SECRET), ConnectionResetError(SECRET), ValueError(SECRET), RuntimeError(SECRET)]
each_error = pytest.mark.parametrize("error", [*TIMEOUTS, *OTHERS], ids=lambda error: type(error).__name__)


def message_for(error: Exception) -> str:
    if error in TIMEOUTS:
        return "the upstream did not answer in time"
    verb = "ended" if isinstance(error, TruncatedError) else "failed"
    return f"the upstream {verb} before its answer was complete"


@each_error
@each_dialect
def test_error_event_in_the_api_s_own_form(dialect, error):
    message, is_timeout = message_for(error), error in TIMEOUTS
    status, kind = (504, "upstream_timeout") if is_timeout else (502, "upstream_error")
    _, report = passed(dialect, STREAMS[dialect.name]["plain"].replace(dialect_streams.DONE, b""))
    out = dialect.error_event(error, report)
    ((event, data, *_),) = dispatched(out)
    flat = {"code": str(status), "message": message, "param": None}
    forms: dict[str, tuple[str, Any]] = {
        "chat_completions": (
            "message",
            {"id": "chatcmpl-1", "error": {"message": message, "type": kind, "param": None, "code": status}},
        ),
        "completions": (
            "message",
            {"id": "c", "error": {"message": message, "type": kind, "param": None, "code": status}},
        ),
        "messages": (
            "error",
            {"type": "error", "error": {"type": "timeout_error" if is_timeout else "api_error", "message": message}},
        ),
        "responses": ("error", {"type": "error", "sequence_number": 5, **flat, "error": {"type": kind, **flat}}),
        "gemini": (
            "message",
            {
                "error": {
                    "code": 504 if is_timeout else 503,
                    "message": message,
                    "status": "DEADLINE_EXCEEDED" if is_timeout else "UNAVAILABLE",
                }
            },
        ),
    }
    assert (event, json.loads(data)) == forms[dialect.name]
    assert b"[DONE]" not in out  # F27
    assert out.endswith(b"\r\n\r\n" if dialect is gemini else b"}\n\n")
    for part in ("hunter2", "10.1.2.3", "8443", "sk-abc", type(error).__name__):
        assert part.encode() not in out
    # It is what the API itself would send: the stream has ended by it.
    _, report = passed(dialect, out)
    assert dialect.is_terminal(report)


@each_error
@each_dialect
def test_error_body_in_the_api_s_own_form(dialect, error):
    status, body = dialect.error_body(error)
    assert status == (504 if error in TIMEOUTS else 502)
    value = json.loads(body)
    assert value["error"]["message"] == message_for(error)
    assert "10.1.2.3" not in body.decode()
    if dialect is messages:
        assert value["type"] == "error"
        assert value["error"]["type"] == ("timeout_error" if status == 504 else "api_error")
    elif dialect is gemini:
        assert value["error"]["status"] == ("DEADLINE_EXCEEDED" if status == 504 else "UNAVAILABLE")
        assert value["error"]["code"] == (504 if status == 504 else 503)
    else:
        assert value["error"] == {
            "message": message_for(error),
            "type": "upstream_timeout" if status == 504 else "upstream_error",
            "param": None,
            "code": str(status),
        }


@each_dialect
def test_error_event_of_a_stream_that_said_nothing(dialect):
    for report in (StreamReport(), passed(dialect, b"")[1], passed(dialect, b": x\n\n")[1]):
        ((_, data, *_),) = dispatched(dialect.error_event(OSError(), report))
        assert "id" not in json.loads(data)


@pytest.mark.parametrize("identifier", [b'"\\ud800"', b"7", b'{"a":1}', b'"\\u2028\xc3\xa9"', b'"a\\nb"'])
def test_error_event_whatever_the_id_is(identifier):
    _, report = passed(chat_completions, b'data: {"id":%s}\n\n' % identifier)
    ((_, data, *_),) = dispatched(chat_completions.error_event(OSError(), report))
    sent = json.loads(data)
    assert sent.get("id", report.captured["id"]) == report.captured["id"]
    assert ("id" in sent) == isinstance(report.captured["id"], str)


def sequence_numbers(stream: bytes) -> list[int]:
    return [value["sequence_number"] for value in dialect_streams.values_of(stream)]


def test_the_flat_error_of_responses_is_seen() -> None:
    rewriter = Rewriter(responses.captures())
    rewriter.feed(b'event: error\ndata: {"type":"error","code":"server_error","message":"oh","param":null}\n\n')
    assert rewriter.captured["error"] is None
    assert (rewriter.captured["error_code"], rewriter.captured["error_message"]) == ("server_error", "oh")


@pytest.mark.parametrize("name", ["plain", "early end", "gaps"])
def test_error_event_of_responses_counts_on(name):
    """F40."""
    stream = STREAMS["responses"][name]
    out = responses.error_event(OSError(), passed(responses, stream)[1])
    assert sequence_numbers(out) == [sequence_numbers(stream)[-1] + 1]


@pytest.mark.parametrize("name", ["unnumbered", "gaps"])
def test_error_event_of_responses_counts_on_after_a_repair(name):
    stream = STREAMS["responses"][name]
    options = {"rewriter": rewriter_for(responses, repair=True), "dialect": responses, "errors": "event"}

    def broken() -> Iterable[bytes]:
        yield stream[:-9]
        raise OSError

    with rewrite_iter(broken(), **options) as outputs:
        numbers = sequence_numbers(b"".join(outputs))
    assert numbers == [*range(numbers[0], numbers[0] + len(numbers))]


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


# Streams of each API -----------------------------------------------------------------------------------


@each_api
def test_utf8_cut_anywhere(api):
    """F1: in every place, in the middle of every character."""
    dialect, stream = get(api), whole(api)
    should = support.run(Rules(dialect.rules(**ALL)), stream)
    assert should != stream
    assert dialect_streams.TEXT.encode() in should
    usage = dialect.usage(passed(dialect, stream)[1])
    cuts = [[place] for place in range(1, len(stream))]
    for chunks in [*(support.cut(stream, places) for places in cuts), support.bytewise(stream)]:
        with rewrite_iter(chunks, rewriter_for(dialect, **ALL), dialect=dialect) as outputs:
            assert b"".join(outputs) == should
        assert outputs.report.outcome == "completed"
        assert dialect.usage(outputs.report) == usage


@each_api
def test_the_last_event_is_flushed(api):
    """F11: the upstream ends without the last blank line, or in the middle of the last line ending."""
    dialect, stream = get(api), whole(api).removesuffix(dialect_streams.DONE)
    should = support.run(Rules(dialect.rules(model="ours")), stream)
    usage = dialect.usage(passed(dialect, stream)[1])
    end = len(stream) - len(stream.rstrip(b"\r\n"))
    for less in range(1, end + 1):
        with rewrite_iter([stream[:-less]], rewriter_for(dialect, model="ours"), dialect=dialect) as outputs:
            out = b"".join(outputs)
        assert dispatched(out) == dispatched(should)
        assert outputs.report.outcome == "completed"
        assert dialect.usage(outputs.report) == usage


def parts(api: str) -> tuple[bytes, bytes, bytes]:
    """Whole events, half an event, and the rest of the stream."""
    stream = whole(api)
    _, blocks, _ = blocks_of(stream)
    at = len(blocks[0].raw + blocks[1].raw)
    half = at + len(blocks[2].raw) // 2
    return stream[:at], stream[at:half], stream[half:]


async def gather(stream: RewriteStream) -> bytes:
    async with stream:
        return b"".join([output async for output in stream])


@each_api
@pytest.mark.anyio
@pytest.mark.parametrize(
    "options", [{}, {"heartbeat": LONG}, {"idle_timeout": LONG}], ids=["plain", "heartbeat", "idle"]
)
@pytest.mark.parametrize("error", [ConnectionResetError(SECRET), ReadTimeout(SECRET)], ids=lambda e: type(e).__name__)
async def test_an_upstream_s_error_is_told(api, options, error):
    dialect, (events, half, _) = get(api), parts(api)
    upstream = Upstream(events, half, error)
    stream = RewriteStream(upstream, rewriter_for(dialect, model="ours"), dialect=dialect, errors="event", **options)
    out = await gather(stream)
    should = support.run(Rules(dialect.rules(model="ours")), events)
    assert out == should + dialect.error_event(error, stream.report)
    assert message_for(error if isinstance(error, OSError) else TIMEOUTS[0]).encode() in out
    assert SECRET.encode() not in out
    assert (stream.report.outcome, stream.report.error, upstream.closings) == ("upstream_error", error, 1)


@each_api
@pytest.mark.anyio
async def test_an_upstream_s_error_is_raised(api):
    dialect, (events, half, _) = get(api), parts(api)
    error, outputs = ConnectionResetError(SECRET), []
    stream = RewriteStream(Upstream(events, half, error), rewriter_for(dialect, model="ours"), dialect=dialect)

    async def read() -> None:
        async with stream:
            async for output in stream:
                outputs.append(output)

    with pytest.raises(ConnectionResetError) as raised:
        await read()
    assert raised.value is error
    assert b"".join(outputs) == support.run(Rules(dialect.rules(model="ours")), events)


@each_api
@pytest.mark.anyio
@pytest.mark.parametrize("name", ["cut", "early end"])
async def test_a_truncated_stream_is_told(api, name):
    """F26: never a clean end."""
    dialect = get(api)
    stream = RewriteStream(Upstream(STREAMS[api][name]), rewriter_for(dialect), dialect=dialect, errors="event")
    out = await gather(stream)
    assert stream.report.outcome == "truncated"
    told = dialect.error_event(stream.report.error, stream.report)
    events = blocks_of(STREAMS[api][name])[1]
    assert out == b"".join(block.raw for block in events) + told
    with pytest.raises(TruncatedError):
        await gather(RewriteStream(Upstream(STREAMS[api][name]), rewriter_for(dialect), dialect=dialect))


@each_api
@pytest.mark.anyio
@pytest.mark.parametrize(
    "options", [{}, {"heartbeat": LONG}, {"idle_timeout": LONG}], ids=["plain", "heartbeat", "idle"]
)
async def test_a_cancel_closes_the_upstream(api, options):
    """F23, F25: and what was used so far is known."""
    dialect, (events, half, _) = get(api), parts(api)
    upstream, outputs, reports = Upstream(events, half, asyncio.Event()), [], []
    rewriter = rewriter_for(dialect, model="ours")
    stream = RewriteStream(upstream, rewriter, dialect=dialect, errors="event", on_end=reports.append, **options)

    async def read() -> None:
        async with stream:
            async for output in stream:
                outputs.append(output)

    task = asyncio.create_task(read())
    while upstream.asked < 3:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b"".join(outputs) == support.run(Rules(dialect.rules(model="ours")), events)
    (report,) = reports
    assert (report.outcome, upstream.closings) == ("cancelled", 1)
    assert report.captured["model"] == "x-1"


@each_api
@pytest.mark.anyio
async def test_a_client_that_leaves_after_the_end_has_had_all(api):
    dialect = get(api)
    upstream = Upstream(whole(api), asyncio.Event())
    stream = RewriteStream(upstream, rewriter_for(dialect), dialect=dialect)
    async with stream:
        assert await anext(stream) == whole(api)
    assert (stream.report.outcome, upstream.closings) == ("completed", 1)


@each_api
@pytest.mark.anyio
async def test_keep_alives_come_at_boundaries_and_not_after_the_end(api):
    """F15."""
    dialect, (events, half, rest) = get(api), parts(api)
    gates = [asyncio.Event() for _ in range(3)]
    upstream = Upstream(events, gates[0], half, gates[1], rest, gates[2])
    stream = RewriteStream(upstream, rewriter_for(dialect), dialect=dialect, heartbeat=MOMENT)
    async with stream:
        assert await anext(stream) == events
        assert await anext(stream) == dialect.keep_alive
        gates[0].set()
        while upstream.asked < 4:
            await asyncio.sleep(0)
        assert await anext(stream) == dialect.keep_alive  # half an event is held meanwhile, and stays whole
        gates[1].set()
        while (output := await anext(stream)) == dialect.keep_alive:
            pass
        assert output == half + rest
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(4 * MOMENT)
        assert not waiting.done()
        gates[2].set()
        with pytest.raises(StopAsyncIteration):
            await waiting


@each_api
@pytest.mark.anyio
async def test_an_idle_upstream_is_told_as_a_timeout(api):
    dialect, (events, half, _) = get(api), parts(api)
    upstream = Upstream(events, half, asyncio.Event())
    stream = RewriteStream(upstream, rewriter_for(dialect), dialect=dialect, errors="event", idle_timeout=MOMENT)
    out = await gather(stream)
    assert out == events + dialect.error_event(TimeoutError(), stream.report)
    assert (stream.report.outcome, upstream.closings) == ("idle_timeout", 1)


# A dialect of one's own ----------------------------------------------------------------------------------


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
            members(dialect_streams.values_of(stream), "delta", "finish_reason")
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


def test_the_page_names_tests_that_exist():
    here = Path(__file__).parent
    page = (here.parents[1] / "docs" / "dialects.md").read_text()
    code = "".join(file.read_text() for file in sorted(here.glob("test_*.py")))
    named = set(re.findall(r"`(test_\w+)", page))
    assert len(named) > 15
    assert named <= set(re.findall(r"def (test_\w+)\(", code))
    assert set(re.findall(r"\[((?:chat|messages|responses) [\w ]+)\]`", page)) <= set(OPERATIONS)
