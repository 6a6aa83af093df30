"""Anthropic's Messages.

Every event has a name. ``message_start`` holds the message with its model and what went in, ``message_delta`` why it
stopped and what came out so far, the last one counting; ``message_stop`` ends the stream, ``[DONE]`` is unknown. The
API sends ``ping`` events to keep a connection alive.
"""

from collections.abc import Mapping
from typing import Any

from sse_fast.aio.report import StreamReport
from sse_fast.dialects.dialect import Dialect, tells_of_error
from sse_fast.dialects.failure import Failure, block, text
from sse_fast.dialects.usage import Usage, count, member, price, total

# The types that the API documents. It has none for 503 and says 529 where it is out of reach for a while.
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def _usage(*objects: Any) -> Usage:
    said: dict[str, Any] = {}
    for each in objects:
        if isinstance(each, Mapping):
            said |= {name: value for name, value in each.items() if value is not None}
    # Here alone the input does not include what came from the cache or went there.
    inputs = [count(said, name) for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")]
    read, written = total(None, *inputs), count(said, "output_tokens")
    return Usage(
        input=read,
        output=written,
        total=total(None, read, written),
        cached=count(said, "cache_read_input_tokens"),
        reasoning=count(member(said, "output_tokens_details"), "thinking_tokens"),
        cost=price(said),
    )


def _has_ended(report: StreamReport) -> bool:
    return report.captured.get("type") == "message_stop" or tells_of_error(report)


def _may_end(report: StreamReport) -> bool:
    # What comes after the end, a ping perhaps, hides its type.
    return _has_ended(report) or report.captured.get("finish_reason") is not None


def _error(failure: Failure) -> dict[str, Any]:
    return {"type": "error", "error": {"type": failure.word(_ERRORS), "message": failure.message}}


messages = Dialect(
    name="messages",
    paths=("(?:^|/v1)/messages", "/publishers/anthropic/models/[^/]+:(?:streamRawPredict|rawPredict)"),
    models=("$.message.model",),
    body_models=("$.model",),
    usages=("$.usage", "$.message.usage"),
    body_usages=("$.usage",),
    providers=("$.provider", "$.message.provider"),
    observers={
        "model": "$.message.model",
        "id": "$.message.id",
        "finish_reason": "$.delta.stop_reason",
        "service_tier": "$.message.usage.service_tier",
        "error": "$.error",
        "usage_at_start": "$.message.usage",
        "usage": "$.usage",
        "type": "$.type",
    },
    read_usage=lambda captured: _usage(captured.get("usage_at_start"), captured.get("usage")),
    read_body_usage=lambda body: _usage(member(body, "usage")),
    has_ended=_has_ended,
    may_end=_may_end,
    write_error=lambda failure, report: block(_error(failure), event="error"),
    write_error_body=lambda failure: text(_error(failure)),
    keep_alive=b'event: ping\ndata: {"type": "ping"}\n\n',
    key_header="x-api-key",
    api_paths=("/v1/messages/",),
)
