"""What leaves: recorded streams, our own and JSON bodies under each option."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import dialect_oracle
import pytest
import support
from dialect_oracle import ALL, ALL_OPTIONS, full_parse, spelled, wanted
from dialect_runs import each_api, each_dialect, rewriter_for, whole
from dialect_streams import BODIES, EVERY, OWN, STREAMS, every_stream
from oracle import blocks_of, expected
from sse_fast import Rules
from sse_fast.dialects import Usage, chat_completions, get, responses
from support import CORPUS


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

    look([*dialect_oracle.values_of(stream)])
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
        dialect_oracle.change(api, value, ALL_OPTIONS[name], is_body=True)
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


def test_the_page_names_tests_that_exist():
    here = Path(__file__).parent
    page = (here.parents[1] / "docs" / "dialects.md").read_text()
    code = "".join(file.read_text() for file in sorted(here.glob("test_*.py")))
    named = set(re.findall(r"`(test_\w+)", page))
    assert len(named) > 15
    assert named <= set(re.findall(r"def (test_\w+)\(", code))
    assert set(re.findall(r"\[((?:chat|messages|responses) [\w ]+)\]`", page)) <= set(OPERATIONS)
