"""What is captured, and what was used, in six numbers."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
import support
from dialect_oracle import ALL, full_parse
from dialect_runs import each_dialect, passed, rewriter_for
from dialect_streams import BODIES, OWN, STREAMS, every_stream
from sse_fast import Rules
from sse_fast.aio import StreamReport
from sse_fast.dialects import Usage, chat_completions, get


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
