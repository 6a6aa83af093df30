"""The faults of the field (FIELD.md, F-rows), each met once and kept out by a test with its number."""

from __future__ import annotations

import json

import pytest
import support
from oracle import dispatched
from sse_fast import (
    Capture,
    Default,
    DropEvent,
    Equals,
    Exists,
    Map,
    Parser,
    Remove,
    Rename,
    Renumber,
    Replace,
    Rewriter,
    Rules,
    Set,
)

MODEL = Replace("$.model", "ours")


def parsed(chunks: list[bytes]) -> list[str]:
    parser = Parser()
    return [event.data for chunk in chunks for event in parser.feed(chunk)]


def test_f1_utf8_split_across_chunks():
    text = '{"model":"up","content":"naïve 😀 漢字"}'
    stream = f"data: {text}\n\n".encode()
    for chunks in support.every_cut(stream):
        assert support.run([MODEL], chunks) == stream.replace(b'"up"', b'"ours"')
        assert parsed(chunks) == [text]


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\u0085", "\u000b", "\u000c", "\u001c", "\u001e"])
def test_f2_only_cr_and_lf_end_a_line(char):
    stream = f'data: {{"a":"x\\n","model":"up"}} {char}\n\n: {char}\ndata: "{char}"\n\n'.encode()
    assert support.run([], stream) == stream
    assert parsed(support.bytewise(stream)) == [f'{{"a":"x\\n","model":"up"}} {char}', f'"{char}"']


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\u0085"])
def test_f2_separators_inside_a_string_are_content(char):
    stream = f'data: {{"a":"x{char}y","model":"up"}}\n\n'.encode()
    assert support.run([MODEL], stream) == stream.replace(b'"up"', b'"ours"')


def test_f3_crlf_split_across_chunks():
    rewriter = Rewriter([MODEL])
    chunks = [b'data: {"model":"up"}\r', b"\n", b"\r", b"\nid: 1\r", b'\ndata: {"model":"up"}\r\n\r', b"\n"]
    out = [rewriter.feed(chunk) for chunk in chunks]
    one = b'data: {"model":"ours"}\r\n'
    assert out == [b"", b"", one + b"\r", b"\n", b"id: 1\r\n" + one + b"\r", b"\n"]
    assert parsed(chunks) == ['{"model":"up"}'] * 2


@pytest.mark.parametrize("ending", ["\r\n", "\r"], ids=["CRLF", "CR"])
def test_f4_other_line_endings(ending):
    stream = f'event: e{ending}data: {{"model":"up"}}{ending}{ending}'.encode() * 2
    for chunks in support.every_cut(stream):
        assert support.run([MODEL], chunks) == stream.replace(b'"up"', b'"ours"')


@pytest.mark.parametrize("end", [b"\n\r\n", b"\r\n\n", b"\r\n\r", b"\n\r", b"\r\r\n", b"\r\r"])
def test_f5_mixed_line_endings_delay_no_event(end):
    rewriter = Rewriter([MODEL])
    chunk = b'data: {"model":"up"}' + end
    assert rewriter.feed(chunk) == chunk.replace(b'"up"', b'"ours"')


def test_f6_bom_does_not_swallow_the_first_event():
    stream = b'\xef\xbb\xbfdata: {"model":"up"}\n\n'
    for chunks in support.every_cut(stream):
        assert support.run([MODEL], chunks) == b'\xef\xbb\xbfdata: {"model":"ours"}\n\n'
        assert parsed(chunks) == ['{"model":"up"}']


def test_f7_data_without_a_space():
    assert support.run([MODEL], b'data:{"model":"up"}\n\ndata:[DONE]\n\n') == (
        b'data:{"model":"ours"}\n\ndata:[DONE]\n\n'
    )


def test_f8_several_data_lines():
    stream = b'data: {"model":\ndata: "up",\ndata: "usage":{"total_tokens":7}}\n\n'
    rewriter = Rewriter([MODEL, Capture("tokens", "$.usage.total_tokens")])
    assert support.through(rewriter, [stream]) == stream.replace(b'"up"', b'"ours"')
    assert rewriter.captured["tokens"] == 7


def test_f9_an_event_over_several_chunks_is_seen():
    stream = b'data: {"choices":[],"usage":{"total_tokens":7,"cost":1}}\n\n'
    for chunks in support.every_cut(stream):
        rewriter = Rewriter([Remove("$.usage.cost"), Capture("usage", "$.usage")])
        assert support.through(rewriter, chunks) == stream.replace(b',"cost":1', b"")
        assert rewriter.captured["usage"] == {"total_tokens": 7, "cost": 1}


def test_f10_streams_share_rules_but_no_state():
    rules = Rules([MODEL, Renumber("$.n"), Capture("n", "$.n")])
    streams = [b'data: {"model":"\xc3\xa9","n":%d}\n\n' % n for n in (1, 20)]
    rewriters = [Rewriter(rules) for _ in streams]
    out = [b"", b""]
    for at in range(len(streams[1])):
        for which, stream in enumerate(streams):
            out[which] += rewriters[which].feed(stream[at : at + 1])
    assert out == [b'data: {"model":"ours","n":%d}\n\n' % n for n in (1, 20)]
    assert [rewriter.captured["n"] for rewriter in rewriters] == [1, 20]


def test_f11_last_event_without_its_blank_line_is_ended():
    for end in (b"", b"\n"):
        out = support.run([MODEL], b'data: 1\n\ndata: {"model":"up"}' + end)
        assert dispatched(out)[-1][1] == '{"model":"ours"}'


def test_f12_event_id_and_retry_lines_stay():
    stream = b'event: message_start\nid: 7\nretry: 100\ndata: {"model":"up"}\n\n'
    rewriter = Rewriter([MODEL])
    assert support.through(rewriter, [stream]) == stream.replace(b'"up"', b'"ours"')
    assert rewriter.last_event_id == "7"


def test_f13_blocks_without_data_pass_or_go():
    blocks = b"retry: 3000\n\nevent: ping\n\ndata:\n\ndata\n\n"
    event = b'data: {"a":1}\n\n'
    assert support.run([], blocks + event) == blocks + event
    assert support.run([], blocks + event, empty_blocks="drop") == event


def test_f14_comments_pass_go_or_change():
    stream = b': OPENROUTER PROCESSING\n\n:{"model":"up"}\n\ndata: {"model":"up"}\n\n'
    event = b'data: {"model":"ours"}\n\n'
    assert support.run([MODEL], stream) == stream[:-22] + event
    assert support.run([MODEL], stream, comments="drop") == event
    assert support.run([MODEL], stream, comments="ping") == b": ping\n\n:ping\n\n" + event


def test_f15_output_ends_at_a_boundary_where_a_heartbeat_may_follow():
    rewriter, out = Rewriter([MODEL]), b""
    for byte in support.bytewise(b'event: e\ndata: {"model":"up"}\n\ndata: {"model":"up"}\n\n'):
        out += rewriter.feed(byte)
        assert rewriter.at_boundary
        out += b": beat\n\n"
    assert [data for _, data, _, _ in dispatched(out)] == ['{"model":"ours"}'] * 2


def test_f16_bare_json_passes():
    stream = b'data: {"model":"up"}\n\n{\n  "error": {"code": 429, "model": "up"}\n}\n\n{"error":1}\n\n'
    assert support.run([MODEL], stream) == stream.replace(b'{"model":"up"}', b'{"model":"ours"}', 1)


def test_f17_one_event_in_small_chunks_is_not_rescanned():
    """Far more than a quadratic buffer could do within the suite's time: 4 MiB in 146-byte chunks."""
    stream = b'data: {"model":"up","image":"' + b"A" * (4 << 20) + b'"}\n\n'
    out = support.run([MODEL], support.in_sizes(stream, 146))
    assert out == stream.replace(b'"up"', b'"ours"')


def test_f18_no_cap_on_an_event():
    stream = b'data: {"image":"' + b"A" * (5 << 20) + b'","model":"up"}\n\n'
    assert support.run([MODEL], support.in_sizes(stream, 65_536)) == stream.replace(b'"up"', b'"ours"')


def test_f20_the_limit_counts_the_event_and_not_its_lines():
    lines = b"data: [\n" + b"data: 0,\n" * 5000 + b"data: 0]\n\n"
    rewriter = Rewriter([], max_held=100)
    out = rewriter.feed(lines[:40_000])
    assert len(out) >= 40_000 - 2 * 100 - 4096
    assert not rewriter.at_boundary
    assert out + rewriter.feed(lines[40_000:]) == lines
    many = b'data: {"a":1}\n\n' * 1000
    assert Rewriter([], max_held=100).feed(many) is many


def test_f21_escaped_keys_do_not_slip_past_the_screen():
    plain = b'data: {"content":"nothing here"}\n\n'
    escaped = b'data: {"content":"x","\\u006dodel":"up"}\n\n'
    for rule in (MODEL, Replace("$..model", "ours"), Map("$.model", {"up": "ours"})):
        assert support.run([rule], plain * 3 + escaped) == plain * 3 + escaped.replace(b'"up"', b'"ours"')


NUMBERS = "9007199254740993 18446744073709551616 -9223372036854775809 1.0 1e21 1E+21 0.000075 7.5e-05 1e-07"
NUMBERS += " -0 -0.0 1.10 100000000000000000000000000000000.00001 1e400 NaN -Infinity"


def test_f33_numbers_keep_their_spelling():
    payload = '{"n":[' + NUMBERS.replace(" ", ",") + '],"model":"up"}'
    assert support.one(payload.encode(), {"op": "replace", "path": "$.model", "value": "m"}) == (
        payload.replace('"up"', '"m"').encode()
    )


def test_f33_given_numbers_are_written_as_json_dumps_writes_them():
    for value in (2**64 + 1, 1e-07, 1.0, 0.000075, 1e21, -0.0):
        assert support.one(b'{"a":0}', {"op": "set", "path": "$.a", "value": value}) == (
            b'{"a":%s}' % json.dumps(value).encode()
        )


def test_f34_escapes_keep_their_spelling():
    payload = '{"a":"<>&\\u003c\\/漢\\u6f22😀\\ud83d\\ude00\\ud800","model":"up"}'
    assert support.one(payload.encode(), {"op": "replace", "path": "$.model", "value": "漢<"}) == (
        payload.replace('"up"', '"漢<"').encode()
    )


def test_f35_order_and_spacing_stay():
    payload = b'{ "z":1 ,"a" : [ 1,2 , 3 ],\t"model": "up"   ,"b":{ } }  '
    assert support.one(payload, {"op": "replace", "path": "$.model", "value": "m"}) == (
        payload.replace(b'"up"', b'"m"')
    )


def test_f36_duplicate_keys_are_all_rewritten():
    payload = b'{"model":"up","x":{"model":"in"},"model":"up2"}'
    assert support.one(payload, {"op": "replace", "path": "$.model", "value": "m"}) == (
        b'{"model":"m","x":{"model":"in"},"model":"m"}'
    )


def test_f37_content_is_not_hit():
    payload = b'{"id":"resp_1","content":"id resp_1, \\"id\\":\\"resp_1\\"","x":["resp_1"]}'
    assert support.one(payload, {"op": "map", "path": "$.id", "map": {"resp_1": "ours"}}) == (
        payload.replace(b'"resp_1"', b'"ours"', 1)
    )


def test_f38_usage_chunk_choices_role_and_cached_tokens():
    rules = [
        Default("$.choices", []),
        Remove("$.choices[*].delta.role", when=None),
        Default("$.usage.prompt_tokens_details.cached_tokens", 0, null_counts_as_missing=True),
    ]
    stream = (
        b'data: {"choices":[{"delta":{"role":null,"content":"x"}}]}\n\n'
        b'data: {"usage":{"prompt_tokens_details":{"audio_tokens":0}}}\n\n'
        b'data: {"choices":[],"usage":{"prompt_tokens_details":{"cached_tokens":null}}}\n\n'
    )
    assert support.run(rules, stream) == (
        b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
        b'data: {"usage":{"prompt_tokens_details":{"audio_tokens":0,"cached_tokens":0}},"choices":[]}\n\n'
        b'data: {"choices":[],"usage":{"prompt_tokens_details":{"cached_tokens":0}}}\n\n'
    )


def test_f38_the_usage_chunk_is_dropped_and_still_billed():
    rules = [DropEvent(Exists("$.usage"), Equals("$.choices", [])), Capture("usage", "$.usage")]
    stream = b'data: {"choices":[{}],"usage":null}\n\ndata: {"choices":[],"usage":{"total_tokens":9}}\n\n'
    rewriter = Rewriter(rules)
    assert support.through(rewriter, [stream]) == b'data: {"choices":[{}],"usage":null}\n\n'
    assert rewriter.captured["usage"] == {"total_tokens": 9}


def test_f39_the_model_leaks_through_none_of_its_places():
    paths = ["$.model", "$.message.model", "$.response.model", "$.modelVersion"]
    places = [b'{"model":"up"}', b'{"message":{"model":"up"}}', b'{"response":{"model":"up","x":"y"}}']
    places += [b'{"modelVersion":"up"}', b'{"choices":[],"model":"up","m\\u006fdel":"up"}']
    stream = b"".join(b"data: " + place + b"\n\n" for place in places)
    out = support.run([Replace(path, "ours") for path in paths], stream)
    assert out == stream.replace(b'"up"', b'"ours"')


def test_f39_the_empty_model_of_the_first_chunk():
    rules = [Map("$.model", {"": "", "up": "ours"}, otherwise="hidden")]
    stream = b'data: {"model":""}\n\ndata: {"model":"up"}\n\ndata: {"model":"up-2"}\n\n'
    assert support.run(rules, stream) == (
        b'data: {"model":""}\n\ndata: {"model":"ours"}\n\ndata: {"model":"hidden"}\n\n'
    )


def test_f40_sequence_numbers_have_no_gaps():
    rules = [Renumber("$.sequence_number"), DropEvent(Equals("$.type", "noise"))]
    events = [b'{"type":"a","sequence_number":0}', b'{"type":"noise","sequence_number":1}']
    events += [b'{"type":"b","sequence_number":2}', b'{"type":"c"}', b'{"type":"d","sequence_number":9}']
    out = support.run(rules, b"".join(b"data: " + event + b"\n\n" for event in events))
    kept = [json.loads(data) for _, data, _, _ in dispatched(out)]
    assert [event["sequence_number"] for event in kept] == [0, 1, 2, 3]


def test_f40_sequence_number_zero_is_written():
    assert support.run([Default("$.sequence_number", 0)], b'data: {"type":"a"}\n\n') == (
        b'data: {"type":"a","sequence_number":0}\n\n'
    )


def test_rename_between_reasoning_names_and_masking_by_choice():
    rules = [Rename("$.choices[*].delta.reasoning_content", "reasoning"), Set("$.provider", "gateway")]
    stream = b'data: {"choices":[{"delta":{"reasoning_content":"x"}},{"delta":{"reasoning":"y"}}]}\n\n'
    assert support.run(rules, stream) == (
        stream[:-3].replace(b"reasoning_content", b"reasoning") + b',"provider":"gateway"}\n\n'
    )
