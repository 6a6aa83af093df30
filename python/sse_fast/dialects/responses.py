"""OpenAI's Responses.

An event's name equals its ``type``, and each has the next ``sequence_number``. Six kinds of event hold the whole
response with its model; one of ``response.completed``, ``response.incomplete``, ``response.failed`` and ``error`` ends
the stream, ``[DONE]`` is unknown.
"""

from typing import Any

from sse_fast.aio.report import StreamReport
from sse_fast.dialects.dialect import Dialect, tells_of_error
from sse_fast.dialects.failure import Failure, block, text
from sse_fast.dialects.usage import Usage, member, openai_usage
from sse_fast.rules import Default, Renumber

_ENDS = ("completed", "incomplete", "failed", "cancelled")
_NUMBER = "$.sequence_number"
_SPELLINGS = (_NUMBER, "$['sequence_number']", '$["sequence_number"]')


def _usage(usage: Any) -> Usage:
    return openai_usage(usage, input="input", output="output")


def _has_ended(report: StreamReport) -> bool:
    return report.captured.get("finish_reason") in _ENDS or tells_of_error(report)


def _has_failed(report: StreamReport) -> bool:
    return report.captured.get("finish_reason") == "failed" or tells_of_error(report)


def _next_number(report: StreamReport) -> int:
    """More than any that the client saw; where it saw none, the count of the events before."""
    for path in _SPELLINGS:  # captures see the numbers that came, a client those that leave
        if path in report.next_numbers:
            return report.next_numbers[path]
    last = report.captured.get("sequence_number")
    if isinstance(last, int):
        return last + 1
    return report.stats.events - report.stats.invalid if report.stats is not None else 0


def _error(failure: Failure, report: StreamReport) -> bytes:
    # The API documents the members flat and servers nest them: clients look for either.
    said = {"code": str(failure.status), "message": failure.message, "param": None}
    event = {
        "type": "error",
        "sequence_number": _next_number(report),
        **said,
        "error": {"type": failure.kind, **said},
    }
    return block(event, event="error")


def _repairs(response: str) -> tuple[Default, ...]:
    return (
        Default(f"{response}.usage.input_tokens_details.cached_tokens", 0),
        Default(f"{response}.usage.output_tokens_details.reasoning_tokens", 0),
    )


responses = Dialect(
    name="responses",
    paths=("/responses(?:/resp[^/]*)?",),
    models=("$.response.model",),
    body_models=("$.model",),
    usages=("$.response.usage",),
    body_usages=("$.usage",),
    providers=("$.response.provider", "$.provider", "$.response.metadata.system_fingerprint"),
    repairs=(
        *_repairs("$.response"),
        Renumber(_NUMBER),
    ),
    body_repairs=_repairs("$"),
    observers={
        "model": "$.response.model",
        "id": "$.response.id",
        "finish_reason": "$.response.status",
        "service_tier": "$.response.service_tier",
        "error": "$.error",
        "error_code": "$.code",
        "error_message": "$.message",
        "response_error": "$.response.error",
        "usage": "$.response.usage",
        "type": "$.type",
        "sequence_number": _NUMBER,
    },
    read_usage=lambda captured: _usage(captured.get("usage")),
    read_body_usage=lambda body: _usage(member(body, "usage")),
    has_ended=_has_ended,
    fails=_has_failed,
    write_error=_error,
    write_error_body=lambda failure: text(failure.openai()),
)
