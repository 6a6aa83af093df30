"""Google's Gemini, ``streamGenerateContent?alt=sse``, on Vertex, too.

Every event is a whole response; lines end in CRLF, events have no names, and nothing but a ``finishReason`` tells the
end. Without ``alt=sse`` the body is one JSON array of the same responses.
"""

from typing import Any

from sse_fast.aio.report import StreamReport
from sse_fast.dialects.dialect import Dialect, tells_of_error
from sse_fast.dialects.failure import Failure, block, text
from sse_fast.dialects.usage import Usage, count, member, total

# Names of google.rpc.Code. It has none for 502, which to a client is as 503: try again.
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}


def _usage(usage: Any) -> Usage:
    # Thoughts are counted apart from the candidates.
    answer, thoughts = count(usage, "candidatesTokenCount"), count(usage, "thoughtsTokenCount")
    read, written = count(usage, "promptTokenCount"), total(None, answer, thoughts)
    return Usage(
        input=read,
        output=written,
        total=total(count(usage, "totalTokenCount"), read, written),
        cached=count(usage, "cachedContentTokenCount"),
        reasoning=thoughts,
    )


def _read_body_usage(body: Any) -> Usage:
    responses = body if isinstance(body, list) else [body]
    said = [usage for response in responses if (usage := member(response, "usageMetadata"))]
    return _usage(said[-1]) if said else Usage()


def _has_ended(report: StreamReport) -> bool:
    return any(report.captured.get(name) is not None for name in ("finish_reason", "block_reason")) or (
        tells_of_error(report)
    )


def _error(failure: Failure) -> dict[str, Any]:
    return {"error": {"code": failure.status, "message": failure.message, "status": failure.word(_STATUSES)}}


gemini = Dialect(
    name="gemini",
    paths=(":streamGenerateContent", ":generateContent"),
    models=("$.modelVersion",),
    body_models=("$.modelVersion", "$[*].modelVersion"),
    usages=("$.usageMetadata",),
    body_usages=("$.usageMetadata", "$[*].usageMetadata"),
    observers={
        "model": "$.modelVersion",
        "id": "$.responseId",
        "finish_reason": "$.candidates[*].finishReason",
        "block_reason": "$.promptFeedback.blockReason",
        "service_tier": "$.usageMetadata.serviceTier",
        "error": "$.error",
        "usage": "$.usageMetadata",
    },
    read_usage=lambda captured: _usage(captured.get("usage")),
    read_body_usage=_read_body_usage,
    has_ended=_has_ended,
    write_error=lambda failure, report: block(_error(failure), ending=b"\r\n"),
    write_error_body=lambda failure: text(_error(failure)),
    # Google's SDK takes a comment for JSON; a blank line alone is nothing to anybody.
    keep_alive=b"\r\n",
    key_header="x-goog-api-key",
    # Of the Gemini API, but for what speaks as OpenAI does there.
    api_paths=(r"/v1(?:alpha|beta)\d*/(?!openai/)", "/models/[^/:]+:(?:[a-z]+[A-Z][A-Za-z]*|predict)$"),
)
