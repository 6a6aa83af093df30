"""What a gateway refuses by itself, in each API's own form: a body with its status, an event in a stream."""

from __future__ import annotations

import json
import pickle
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from dialect_runs import each_dialect
from dialect_streams import DONE, STREAMS
from oracle import dispatched
from sse_fast import RefusalError, Rewriter, SSEFastError
from sse_fast.aio import StreamReport, rewrite_iter
from sse_fast.dialects import Dialect, Failure, completions, gemini, messages, responses

# As the APIs document their errors and answer with them: OpenAI's type, Anthropic's type, Google's status.
WORDS = {
    400: ("invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    401: ("invalid_request_error", "authentication_error", "UNAUTHENTICATED"),
    402: ("invalid_request_error", "billing_error", "INVALID_ARGUMENT"),
    403: ("invalid_request_error", "permission_error", "PERMISSION_DENIED"),
    404: ("invalid_request_error", "not_found_error", "NOT_FOUND"),
    405: ("invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    408: ("invalid_request_error", "invalid_request_error", "DEADLINE_EXCEEDED"),
    409: ("invalid_request_error", "conflict_error", "ABORTED"),
    413: ("invalid_request_error", "request_too_large", "INVALID_ARGUMENT"),
    415: ("invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    422: ("invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    429: ("rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"),
    499: ("invalid_request_error", "invalid_request_error", "CANCELLED"),
    500: ("server_error", "api_error", "INTERNAL"),
    501: ("server_error", "api_error", "UNIMPLEMENTED"),
    502: ("upstream_error", "api_error", "UNAVAILABLE"),
    503: ("service_unavailable_error", "overloaded_error", "UNAVAILABLE"),
    504: ("upstream_timeout", "timeout_error", "DEADLINE_EXCEEDED"),
    507: ("server_error", "api_error", "INTERNAL"),
    529: ("service_unavailable_error", "overloaded_error", "UNAVAILABLE"),
    599: ("server_error", "api_error", "INTERNAL"),
}
each_status = pytest.mark.parametrize("status", WORDS)
SAID = "the gateway is shutting down"


def test_the_page_has_these_words():
    page = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text()
    rows = re.findall(r"^\| (\d[^|]*) \| `(\w+)`[^|]* \| `(\w+)` \| `(\w+)` \|$", page, re.MULTILINE)
    said = {int(status): tuple(words) for head, *words in rows for status in re.findall(r"\b\d+\b", head)}
    assert said.keys() > {400, 404, 500, 503, 529}
    assert {status: said.get(status) or said[status // 100 * 100] for status in WORDS} == WORDS


@each_status
@each_dialect
def test_a_refusal_in_the_api_s_own_form(dialect, status):
    openai, anthropic, google = WORDS[status]
    forms: dict[str, Any] = {
        "messages": {"type": "error", "error": {"type": anthropic, "message": SAID}},
        "gemini": {"error": {"code": status, "message": SAID, "status": google}},
    }
    usual = {"error": {"message": SAID, "type": openai, "param": None, "code": str(status)}}
    body = dialect.refusal(status, SAID)
    assert json.loads(body) == forms.get(dialect.name, usual)
    assert dialect.error_body(RefusalError(status, SAID)) == (status, body)


@each_status
@each_dialect
def test_a_refusal_in_a_stream_says_what_the_body_says(dialect, status):
    rewriter = Rewriter(dialect.captures())
    rewriter.feed(STREAMS[dialect.name]["plain"].replace(DONE, b""))
    report = StreamReport(captured=rewriter.captured, stats=rewriter.stats)
    ((_, data, *_),) = dispatched(dialect.error_event(RefusalError(status, SAID), report))
    event, body = json.loads(data), json.loads(dialect.refusal(status, SAID))
    if dialect is responses:
        assert {name: event[name] for name in ("type", "code", "message", "param")} == {
            **{"type": "error", "code": str(status), "message": SAID, "param": None},
        }
    if dialect not in (messages, gemini):
        body["error"]["code"] = event["error"]["code"]
        assert str(event["error"]["code"]) == str(status)
    assert event["error"] == body["error"]


@each_dialect
def test_a_stream_that_a_refusal_ends(dialect):
    """Mid-stream, whoever raises it: the client has the whole events, and then the refusal."""
    start = STREAMS[dialect.name]["early end"] if dialect is not completions else b'data: {"id":"c"}\n\n'

    def shut_down() -> Any:
        yield start
        yield b'data: {"half'
        raise RefusalError(503, SAID)

    with rewrite_iter(shut_down(), Rewriter(dialect.captures()), dialect=dialect, errors="event") as outputs:
        out = b"".join(outputs)
    assert out == start + dialect.error_event(RefusalError(503, SAID), outputs.report)
    assert SAID.encode() in out


@each_dialect
@pytest.mark.parametrize("message", ["", "a\r\n\r\ndata: b", "\u2028\x85 é 漢", "\ud800"])
def test_a_refusal_whatever_its_message(dialect, message):
    assert json.loads(dialect.refusal(413, message))["error"]["message"] == message
    ((_, data, *_),) = dispatched(dialect.error_event(RefusalError(413, message), StreamReport()))
    assert json.loads(data)["error"]["message"] == message


@pytest.mark.parametrize("status", [0, 200, 399, 600, -503])
def test_a_status_that_is_no_error_is_refused(status):
    reason = f"^a refusal's status is 400 to 599, not {status}$"
    for refuse in (RefusalError, messages.refusal):
        with pytest.raises(ValueError, match=reason):
            refuse(status, SAID)


def test_a_refusal_is_an_error_with_a_status_and_a_message():
    error = RefusalError(HTTPStatus.NOT_FOUND, SAID)
    assert isinstance(error, SSEFastError)
    assert (error.status, error.message, str(error)) == (404, SAID, SAID)
    assert type(error.status) is int
    again = pickle.loads(pickle.dumps(error))
    assert (again.status, again.message) == (404, SAID)
    assert Failure.of(error) == Failure(404, SAID)


def test_a_dialect_of_one_s_own_refuses_as_openai_does():
    bare = Dialect(name="bare")
    assert bare.refusal(429, SAID) == responses.refusal(429, SAID)
    ((event, data, *_),) = dispatched(bare.error_event(RefusalError(429, SAID), StreamReport()))
    assert (event, json.loads(data)["error"]) == ("error", {"type": "rate_limit_exceeded", "message": SAID})
