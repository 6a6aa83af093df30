"""Errors in each API's own form."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import dialect_oracle
import dialect_streams
import pytest
from dialect_runs import TIMEOUTS, each_dialect, each_error, message_for, passed, rewriter_for
from dialect_streams import STREAMS
from oracle import dispatched
from sse_fast import DropEvent, Equals, Renumber, Rewriter, Rules
from sse_fast.aio import StreamReport, rewrite_iter
from sse_fast.dialects import chat_completions, gemini, messages, responses


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
                    "code": status,
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
        assert value["error"]["code"] == status
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
    return [value["sequence_number"] for value in dialect_oracle.values_of(stream)]


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


@pytest.mark.parametrize(
    "numbers",
    [[None, 1, 2, 3], [None, 7], [None, None, 5, 6, 7], [None, 0, 1], [0, None, 1], [4, 5, 6], [4, 6, 6, 90], [None]],
    ids=str,
)
def test_error_event_of_responses_counts_on_whichever_events_had_numbers(numbers):
    """F40: a server that leaves out zeros, or events of another's between its own."""
    said = [{"type": "a"} | ({} if number is None else {"sequence_number": number}) for number in numbers]
    stream = dialect_streams.named(*said)
    for repair in (False, True):
        rewriter = rewriter_for(responses, repair=repair)
        with rewrite_iter([stream], rewriter, dialect=responses, errors="event") as outputs:
            sent = b"".join(outputs)
        values = dialect_oracle.values_of(sent)
        seen = [value["sequence_number"] for value in values[:-1] if "sequence_number" in value]
        assert values[-1]["type"] == "error"
        assert values[-1]["sequence_number"] == max(seen, default=len(numbers) - 1) + 1


@pytest.mark.parametrize("dropped", [0, 1, 2], ids=["the first", "one between", "the last"])
@pytest.mark.parametrize("start", ["first", 100, None])
@pytest.mark.parametrize("numbers", [[4, 5, 6], [None, 1, 2], [None] * 3], ids=str)
def test_error_event_of_responses_counts_what_leaves(numbers, start, dropped):
    """F40: with events that a rule drops, and a counter of the caller's own; without one, gaps stay."""
    said = [{"type": str(place)} | ({} if n is None else {"sequence_number": n}) for place, n in enumerate(numbers)]
    rules = [DropEvent(Equals("$.type", str(dropped)))]
    rules += [] if start is None else [Renumber("$['sequence_number']", start)]
    rewriter = Rewriter(Rules([*rules, *responses.captures()]))
    stream = dialect_streams.named(*said)
    with rewrite_iter([stream], rewriter, dialect=responses, errors="event") as outputs:
        *_, last, error = [value.get("sequence_number") for value in dialect_oracle.values_of(b"".join(outputs))]
    if start is None and last is None:
        assert error >= 3
    elif start is None:
        assert error > last
    else:
        assert error == last + 1
