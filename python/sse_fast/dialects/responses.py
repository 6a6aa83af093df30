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
from sse_fast.rules import Capture, Default, Renumber

_ENDS = ("completed", "incomplete", "failed", "cancelled")


# Seen where a repair numbers the events: captures see the numbers that came, a client those that leave.
_RENUMBERED = "first_sequence_number"


def _usage(usage: Any) -> Usage:
    return openai_usage(usage, input="input", output="output")


def _has_ended(report: StreamReport) -> bool:
    return report.captured.get("finish_reason") in _ENDS or tells_of_error(report)


def _next_number(report: StreamReport) -> int:
    """One more than the last that the client saw."""
    last, first = (report.captured.get(name) for name in ("sequence_number", _RENUMBERED))
    if _RENUMBERED not in report.captured and isinstance(last, int):
        return last + 1
    events = report.stats.events - report.stats.invalid if report.stats is not None else 0
    if not isinstance(first, int):
        return events
    # A repair counts from the first number only where the first event had it, else from 0. Where it had none, as from
    # a server that leaves out zeros, the numbers that came are too low to count all events from their first.
    is_late = isinstance(last, int) and last + 1 < first + events
    return events if is_late else first + events


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
        Renumber("$.sequence_number"),
        Capture(_RENUMBERED, "$.sequence_number", keep="first", null_counts_as_missing=True),
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
        "sequence_number": "$.sequence_number",
    },
    read_usage=lambda captured: _usage(captured.get("usage")),
    read_body_usage=lambda body: _usage(member(body, "usage")),
    has_ended=_has_ended,
    write_error=_error,
    write_error_body=lambda failure: text(failure.openai()),
)
