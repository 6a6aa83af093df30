"""OpenAI's Chat Completions and what speaks it: Azure, OpenRouter, vLLM, DeepSeek, Groq and many more.

A stream ends with ``[DONE]``; some servers leave it out and end after a ``finish_reason``. Routers add members of their
own. The older Completions differ in little.
"""

from collections.abc import Mapping
from typing import Any

from sse_fast.aio.report import StreamReport
from sse_fast.dialects.dialect import Dialect, tells_of_error
from sse_fast.dialects.failure import Failure, block, text
from sse_fast.dialects.usage import Usage, member, openai_usage
from sse_fast.rules import Default, Equals, Exists, Remove

# Groq also names its model where it breaks its usage down.
_MODELS = ("$.model", "$.x_groq.usage_breakdown.models[*].model")
# Vercel's gateway tells of itself in each choice.
_GATEWAYS = tuple(f"$.choices[*].{part}.provider_metadata.gateway" for part in ("delta", "message"))
# Moonshot has its usage in a choice, Groq had it in a member of its own.
_USAGES = ("$.usage", "$.choices[*].usage", "$.x_groq.usage")


def _read_usage(captured: Mapping[str, Any]) -> Usage:
    return _first(*map(captured.get, ("usage", "choice_usage", "groq_usage")))


def _read_body_usage(body: Any) -> Usage:
    choices = member(body, "choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return _first(member(body, "usage"), member(choice, "usage"), member(member(body, "x_groq"), "usage"))


def _first(*usages: Any) -> Usage:
    return openai_usage(next((usage for usage in usages if usage), None))


def _has_ended(report: StreamReport) -> bool:
    return (report.stats is not None and report.stats.done) or tells_of_error(report)


def _may_end(report: StreamReport) -> bool:
    return _has_ended(report) or report.captured.get("finish_reason") is not None


def _error(failure: Failure, report: StreamReport) -> bytes:
    identifier = report.captured.get("id")
    about = {"id": identifier} if isinstance(identifier, str) else {}
    return block({**about, "error": {**failure.openai()["error"], "code": failure.status}})


chat_completions = Dialect(
    name="chat_completions",
    paths=("/chat/completions", "/publishers/mistralai/models/[^/]+:(?:streamRawPredict|rawPredict)"),
    models=_MODELS,
    body_models=_MODELS,
    usages=_USAGES,
    body_usages=_USAGES,
    costs=tuple(f"{gateway}.{cost}" for gateway in _GATEWAYS for cost in ("cost", "marketCost")),
    providers=(
        "$.provider",
        "$.system_fingerprint",
        "$.choices[*].native_finish_reason",
        "$.error.metadata.provider_name",
        *(f"$.choices[*].{part}.provider_metadata" for part in ("delta", "message")),
    ),
    reasonings=("$.choices[*].delta", "$.choices[*].message"),
    repairs=(
        Remove("$.choices[*].delta.role", when=None),
        Remove("$.choices[*].delta.role", when=""),
        Default("$.choices", []),
        *(Default(f"{usage}.prompt_tokens_details.cached_tokens", 0) for usage in _USAGES),
    ),
    body_repairs=tuple(Default(f"{usage}.prompt_tokens_details.cached_tokens", 0) for usage in _USAGES),
    usage_chunk=(Equals("$.choices", []), Exists("$.usage.total_tokens")),
    observers={
        "model": "$.model",
        "id": "$.id",
        "finish_reason": "$.choices[*].finish_reason",
        "service_tier": "$.service_tier",
        "error": "$.error",
        "usage": "$.usage",
        "choice_usage": "$.choices[*].usage",
        "groq_usage": "$.x_groq.usage",
    },
    read_usage=_read_usage,
    read_body_usage=_read_body_usage,
    has_ended=_has_ended,
    may_end=_may_end,
    write_error=_error,
    write_error_body=lambda failure: text(failure.openai()),
)

completions = chat_completions.replace(
    name="completions",
    paths=("(?<!chat)/completions",),
    reasonings=(),
    repairs=(Default("$.choices", []), Default("$.usage.prompt_tokens_details.cached_tokens", 0)),
)
