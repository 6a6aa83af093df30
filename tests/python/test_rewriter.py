"""The Rewriter's face: arguments, buffers, errors, stats, captures, Transform, threads."""

from __future__ import annotations

import array
import pickle
import threading

import pytest
import support
from sse_fast import (
    Capture,
    DropEvent,
    Equals,
    Exists,
    FinishedError,
    InvalidEventError,
    Remove,
    Renumber,
    Replace,
    Rewriter,
    Rules,
    SSEFastError,
    Transform,
)

EVENT = b'data: {"model":"up"}\n\n'
OURS = EVENT.replace(b"up", b"ours")
MODEL = [Replace("$.model", "ours")]


# Arguments ---------------------------------------------------------------------------------------------


def test_rules_or_any_iterable_of_rules():
    for rules in (MODEL, tuple(MODEL), iter(MODEL), Rules(MODEL), (rule for rule in MODEL)):
        assert support.run(rules, EVENT) == OURS


@pytest.mark.parametrize(
    "options",
    [
        {"max_held": 0},
        {"max_held": -1},
        {"on_invalid": "ignore"},
        {"empty_blocks": "maybe"},
        {"comments": "two\nlines"},
        {"comments": "two\rlines"},
    ],
    ids=str,
)
def test_options_that_make_no_sense(options):
    with pytest.raises(ValueError):
        Rewriter([], **options)


@pytest.mark.parametrize("options", [{"max_held": "1"}, {"comments": 5}, {"on_invalid": None}, {"other": 1}], ids=str)
def test_options_of_other_types(options):
    with pytest.raises((TypeError, ValueError)):
        Rewriter([], **options)


def test_options_are_keywords():
    with pytest.raises(TypeError):
        Rewriter([], 100)


# Buffers -----------------------------------------------------------------------------------------------

BUFFERS = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "view of a part": lambda data: memoryview(b"xx" + data + b"yy")[2:-2],
    "array": lambda data: array.array("B", data),
}


@pytest.mark.parametrize("buffer", BUFFERS.values(), ids=BUFFERS)
def test_feed_takes_any_contiguous_buffer(buffer):
    rewriter = Rewriter(MODEL)
    for data, out in ((EVENT, OURS), (EVENT[:9], b""), (EVENT[9:], OURS), (b": c\n\n", b": c\n\n")):
        got = rewriter.feed(buffer(data))
        assert type(got) is bytes
        assert got == out


def test_feed_copies_what_it_holds():
    held = bytearray(b'data: {"model":')
    rewriter = Rewriter(MODEL)
    rewriter.feed(held)
    held[:] = b"x" * len(held)
    held.append(0)  # no view is kept
    assert rewriter.feed(b'"up"}\n\n') == OURS


@pytest.mark.parametrize(
    "wrong", ["data: 1\n\n", None, 5, [1], memoryview(b"abcdef")[::2]], ids=lambda value: type(value).__name__
)
def test_feed_refuses_what_is_no_contiguous_buffer(wrong):
    rewriter = Rewriter([])
    with pytest.raises((TypeError, BufferError)):
        rewriter.feed(wrong)
    assert rewriter.feed(EVENT) == EVENT  # and nothing has happened


def test_the_very_object_comes_back():
    rewriter = Rewriter(MODEL)
    for chunk in (b"data: 1\n\n", b": c\n\ndata: {}\n\n", b"\n", b"data: x\r\n\r", b"\n"):
        assert rewriter.feed(chunk) is chunk
    assert rewriter.feed(EVENT) == OURS
    chunk = b"data: 1\n\n"
    assert rewriter.feed(b"da") == b""
    assert rewriter.feed(b"ta: 1\n\n") == chunk
    assert rewriter.feed(chunk) is chunk


def test_nothing_complete_gives_empty_bytes():
    rewriter = Rewriter(MODEL)
    assert [rewriter.feed(part) for part in (b"", b"data", b": {", b"")] == [b""] * 4


# The end -----------------------------------------------------------------------------------------------


def test_finished():
    rewriter = Rewriter(MODEL)
    assert rewriter.feed(EVENT[:-1]) == b""
    assert rewriter.finish() == OURS
    for call in (lambda: rewriter.feed(EVENT), lambda: rewriter.feed(b""), rewriter.finish):
        with pytest.raises(FinishedError):
            call()
    assert rewriter.stats.events == 1


def test_finish_of_nothing():
    assert Rewriter(MODEL).finish() == b""
    rewriter = Rewriter(MODEL)
    rewriter.feed(EVENT)
    assert rewriter.finish() == b""


# Errors ------------------------------------------------------------------------------------------------


def test_an_error_is_raised_again_and_keeps_the_output():
    rewriter = Rewriter(MODEL, on_invalid="raise")
    assert rewriter.feed(b"id: 1\n\n") == b"id: 1\n\n"
    errors = []
    for chunk in (EVENT + b"data: {,}\n\n" + EVENT, EVENT, b""):
        with pytest.raises(InvalidEventError) as caught:
            rewriter.feed(chunk)
        errors.append(caught.value)
    with pytest.raises(InvalidEventError) as caught:
        rewriter.finish()
    errors.append(caught.value)
    assert errors[0].output == OURS
    assert {error.offset for error in errors} == {errors[0].offset}
    start = len(b"id: 1\n\n") + len(EVENT)
    assert start <= errors[0].offset <= start + len(b"data: {,")
    assert isinstance(errors[0], SSEFastError)


def test_an_invalid_payload_is_an_error_under_every_cut():
    stream = EVENT + b"data: {,}\n\n" + EVENT
    for chunks in support.every_cut(stream):
        rewriter, out = Rewriter(MODEL, on_invalid="raise"), []
        with pytest.raises(InvalidEventError) as caught:
            out.extend(map(rewriter.feed, chunks))
        assert b"".join(out) + caught.value.output == OURS


def test_done_and_scalars_are_no_error():
    stream = b'data: [DONE]\n\ndata: 5\n\ndata: "x"\n\ndata: NaN\n\n: c\n\nid: 1\n\n'
    assert support.run(MODEL, stream, on_invalid="raise") == stream


# State -------------------------------------------------------------------------------------------------


def test_stats():
    rewriter = Rewriter([*MODEL, DropEvent(Equals("$.model", "drop"))])
    stream = b": c\n\n" + EVENT + b'data: {"model":"drop"}\n\ndata: hi\n\ndata: {}\n\nid: 1\n\ndata: [DONE]\n\n'
    out = support.through(rewriter, [stream])
    assert support.stats_of(rewriter) == {
        "events": 5,
        "rewritten": 1,
        "invalid": 1,
        "dropped": 1,
        "comments": 1,
        "bytes_in": len(stream),
        "bytes_out": len(out),
        "done": True,
        "truncated": False,
        "oversize": 0,
    }
    assert "events" in repr(rewriter.stats)


def test_stats_of_a_truncated_stream():
    rewriter = Rewriter(MODEL)
    rewriter.feed(EVENT + b'data: {"a')
    assert not rewriter.stats.truncated
    rewriter.finish()
    assert rewriter.stats.truncated
    assert not rewriter.stats.done


def test_last_event_id():
    rewriter = Rewriter([])
    seen = []
    for chunk in (
        b"id: 1\n",
        b"data: a\n\n",
        b"data: b\n\n",
        b"id: 2\n\n",
        b"id: \x00\n\n",
        b"id\n\n",
        b"id: \xff\n\n",
    ):
        rewriter.feed(chunk)
        seen.append(rewriter.last_event_id)
    assert seen == ["", "1", "1", "2", "2", "", "\ufffd"]


def test_at_boundary():
    rewriter = Rewriter([], max_held=20)
    assert rewriter.at_boundary
    rewriter.feed(b"data: [")
    assert rewriter.at_boundary
    rewriter.feed(b"1," * 20)
    assert not rewriter.at_boundary
    rewriter.feed(b"1]\n\n")
    assert rewriter.at_boundary


def test_captured_is_there_from_the_start():
    rewriter = Rewriter(
        [Capture("one", "$.a"), Capture("first", "$.a", keep="first"), Capture("all", "$.a", keep="all")]
    )
    assert rewriter.captured == {"one": None, "first": None, "all": []}
    rewriter.feed(b'data: {"a":{"x":[1,2.5,null,true,"\\u00e9\\ud83d\\ude00"]}}\n\ndata: {"a":2}\n\n')
    first = {"x": [1, 2.5, None, True, "é😀"]}
    assert rewriter.captured == {"one": 2, "first": first, "all": [first, 2]}
    rewriter.feed(b'data: {"a":3')
    assert rewriter.captured["one"] == 2


def test_captured_keeps_a_thousand_at_most():
    rewriter = Rewriter([Capture("all", "$.a", keep="all")])
    for number in range(1500):
        rewriter.feed(b'data: {"a":%d}\n\n' % number)
    assert rewriter.captured["all"] == list(range(1000))


def test_captured_odd_values():
    rewriter = Rewriter([Capture("all", "$[*]", keep="all")])
    rewriter.feed(b'data: [NaN,-Infinity,18446744073709551617,1e400,"\\ud800","\xff",-0.0]\n\n')
    nan, minus, big, huge, lone, broken, zero = rewriter.captured["all"]
    assert nan != nan
    assert (minus, big, huge, lone, broken) == (float("-inf"), 2**64 + 1, float("inf"), "\ud800", "\ufffd")
    assert str(zero) == "-0.0"


def test_rewriters_of_one_rules_share_no_state():
    rules = Rules([Renumber("$.n"), Capture("n", "$.n")])
    one, other = Rewriter(rules), Rewriter(rules)
    assert one.feed(b'data: {"n":5}\n\ndata: {"n":9}\n\n') == b'data: {"n":5}\n\ndata: {"n":6}\n\n'
    assert other.feed(b'data: {"n":1}\n\n') == b'data: {"n":1}\n\n'
    assert (one.captured["n"], other.captured["n"]) == (9, 1)


def test_next_numbers_are_those_of_the_next_event():
    rewriter = Rewriter([Renumber("$.n"), Renumber("$.m.k", 7), DropEvent(Exists("$.drop"))])
    assert rewriter.next_numbers == {"$.m.k": 7}
    fed = {
        b'{"m":{}}': {"$.n": 1, "$.m.k": 8},
        b'{"n":9,"drop":1}': {"$.n": 1, "$.m.k": 8},
        b'{"n":9}': {"$.n": 2, "$.m.k": 8},
    }
    for payload, numbers in fed.items():
        rewriter.feed(b"data: %b\n" % payload)
        rewriter.feed(b"\n")
        assert rewriter.next_numbers == numbers
    assert Rewriter([]).next_numbers == {}


# Transform ---------------------------------------------------------------------------------------------


def transformed(payload: bytes, function, path: str = "$.a") -> bytes:
    return support.one(payload, {"op": "transform", "path": path, "function": function})


def test_transform_gets_and_gives_python_values():
    seen = []

    def function(value):
        seen.append(value)
        return {"was": value, "é": 1.0}

    assert transformed(b'{"a": [1,{"x":null}] ,"b":2}', function) == (
        b'{"a": {"was":[1,{"x":null}],"\xc3\xa9":1.0} ,"b":2}'
    )
    assert seen == [[1, {"x": None}]]


@pytest.mark.parametrize("text", [b"1.50", b'"\\u0061"', b"[ 1 ]", b"1e-07", b"{ }", b"18446744073709551616"])
def test_transform_that_changes_nothing_keeps_the_bytes(text):
    assert transformed(b'{"a": ' + text + b" }", lambda value: value) == b'{"a": ' + text + b" }"


def test_transform_to_another_type_of_the_same_value():
    assert transformed(b'{"a":1}', float) == b'{"a":1.0}'
    assert transformed(b'{"a":1}', bool) == b'{"a":true}'


def test_transform_that_changes_nothing_leaves_the_place_to_other_rules():
    rules = [Transform("$.*", lambda value: value), Remove("$.a"), Replace("$.b.c", 0)]
    assert support.run(rules, b'data: {"a":1,"b":{"c":1},"a":2}\n\n') == b'data: {"b":{"c":0}}\n\n'


def test_transform_of_the_whole_payload():
    assert transformed(b' {"a" : 1} ', lambda value: {**value, "b": 2}, "$") == b' {"a":1,"b":2} '


def test_transform_reaches_every_place():
    assert transformed(b'{"a":"x","b":[{"a":"y"},{"\\u0061":"z"}],"a":"w"}', str.upper, "$..a") == (
        b'{"a":"X","b":[{"a":"Y"},{"\\u0061":"Z"}],"a":"W"}'
    )


def test_transform_is_called_for_events_that_leave_and_are_valid():
    seen = []
    rules = [Transform("$.a", seen.append), DropEvent(Equals("$.drop", True))]
    stream = b'data: {"a":1,"drop":true}\n\ndata: {"a":2,}\n\ndata: "a"\n\ndata: {"b":1}\n\n'
    for chunk in support.bytewise(stream):
        Rewriter(rules).feed(chunk)
    support.run(rules, support.bytewise(stream))
    assert seen == []


def test_transform_of_invalid_utf8_loses_no_byte():
    assert transformed(b'{"a":"\xff","b":"\xfe"}', lambda value: value) == b'{"a":"\xff","b":"\xfe"}'


def test_transform_sees_no_oversize_value():
    seen = []
    rewriter = Rewriter([Transform("$.*", lambda value: seen.append(value) or value)], max_held=64)
    stream = b'data: {"a":"' + b"x" * 500 + b'","b":"small"}\n\n'
    assert support.through(rewriter, support.bytewise(stream)) == stream
    assert seen == ["small"]
    assert rewriter.stats.oversize == 1


class Broken(Exception):
    pass


def test_an_exception_of_a_transform_goes_up_and_is_raised_again():
    def function(value):
        raise Broken(value)

    rewriter = Rewriter([Transform("$.a", function)])
    with pytest.raises(Broken) as caught:
        rewriter.feed(EVENT + b'data: {"a":7}\n\n' + EVENT)
    assert caught.value.args == (7,)
    assert caught.value.output == EVENT
    with pytest.raises(Broken):
        rewriter.feed(EVENT)
    with pytest.raises(Broken):
        rewriter.finish()


@pytest.mark.parametrize("wrong", [float("nan"), {1}, object(), b"x"], ids=lambda value: type(value).__name__)
def test_a_transform_must_return_json(wrong):
    rewriter = Rewriter([Transform("$.a", lambda value: wrong)])
    with pytest.raises((TypeError, ValueError)):
        rewriter.feed(b'data: {"a":7}\n\n')


def test_re_entrancy_from_a_transform_is_an_error():
    def function(value):
        with pytest.raises(RuntimeError):
            rewriter.feed(EVENT)
        return value + 1

    rewriter = Rewriter([Transform("$.a", function)])
    assert rewriter.feed(b'data: {"a":1}\n\n') == b'data: {"a":2}\n\n'


def test_feeding_from_two_threads_at_once_is_an_error():
    inside, leave = threading.Event(), threading.Event()

    def function(value):
        inside.set()
        assert leave.wait(30)
        return value

    rewriter = Rewriter([Transform("$.a", function)])
    outs: list[bytes] = []
    thread = threading.Thread(target=lambda: outs.append(rewriter.feed(b'data: {"a":1}\n\n')))
    thread.start()
    assert inside.wait(30)
    try:
        with pytest.raises(RuntimeError):
            rewriter.feed(EVENT)
    finally:
        leave.set()
        thread.join()
    assert outs == [b'data: {"a":1}\n\n']
    assert rewriter.feed(EVENT) == EVENT


def test_one_after_the_other_from_several_threads_is_fine():
    rewriter, outs = Rewriter(MODEL), []
    for part in (EVENT[:7], EVENT[7:12], EVENT[12:]):
        thread = threading.Thread(target=lambda part=part: outs.append(rewriter.feed(part)))
        thread.start()
        thread.join()
    assert b"".join(outs) == OURS


def test_a_rewriter_is_not_pickled_or_copied():
    with pytest.raises(TypeError):
        pickle.dumps(Rewriter(MODEL))


def test_removal_of_everything_leaves_the_event():
    assert support.run([Remove("$.*")], EVENT) == b"data: {}\n\n"
