"""The task, API by API: as rules for sse_fast and as an edit of parsed JSON for its rivals.

Set the model's name, remove the three cost fields, default the count of cached tokens; for chat also remove a null
role and default `choices`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sse_fast import Default, Remove, Rule, Set
from streams import ALIAS

COST = ("cost", "cost_details", "is_byok")


def _bill(usage: Any, details: str | None, default: str) -> None:
    if type(usage) is dict:
        usage.pop("cost", None)
        usage.pop("cost_details", None)
        usage.pop("is_byok", None)
        inner = usage.get(details) if details else usage
        if type(inner) is dict:
            inner.setdefault(default, 0)


def edit_chat(event: dict[str, Any]) -> None:
    event["model"] = ALIAS
    if (usage := event.get("usage")) is not None:
        _bill(usage, "prompt_tokens_details", "cached_tokens")
    choices = event.get("choices")
    if choices is None:
        event.setdefault("choices", [])
        return
    for choice in choices:
        delta = choice.get("delta")
        if delta is not None and "role" in delta and delta["role"] is None:
            del delta["role"]


def edit_messages(event: dict[str, Any]) -> None:
    if (message := event.get("message")) is not None:
        message["model"] = ALIAS
        if (usage := message.get("usage")) is not None:
            usage.setdefault("cache_read_input_tokens", 0)
    if (usage := event.get("usage")) is not None:
        for key in COST:
            usage.pop(key, None)


def edit_responses(event: dict[str, Any]) -> None:
    if (response := event.get("response")) is not None:
        response["model"] = ALIAS
        if (usage := response.get("usage")) is not None:
            _bill(usage, "input_tokens_details", "cached_tokens")


def edit_gemini(event: dict[str, Any]) -> None:
    event["modelVersion"] = ALIAS
    if (usage := event.get("usageMetadata")) is not None:
        _bill(usage, None, "cachedContentTokenCount")


def edit_cost(event: dict[str, Any]) -> None:
    """The task for a stream where nothing matches."""
    if (usage := event.get("usage")) is not None:
        _bill(usage, "prompt_tokens_details", "cached_tokens")


@dataclass(frozen=True)
class Task:
    """What to do, and what a rival may know beforehand of the API whose streams it will see."""

    rules: tuple[Rule, ...]
    edit: Callable[[dict[str, Any]], None]
    # Where none of these stands in an event, the task leaves it alone.
    keys: tuple[bytes, ...]
    # The last bytes of what repeats from event to event, as in the learned-prefix splice.
    marker: bytes
    separator: bytes = b"\n\n"


def _cost(usage: str) -> tuple[Rule, ...]:
    return tuple(Remove(f"{usage}.{key}") for key in COST)


CACHED = (*_cost("$.usage"), Default("$.usage.prompt_tokens_details.cached_tokens", 0))
TASKS = {
    "chat": Task(
        rules=(
            Set("$.model", ALIAS),
            *CACHED,
            Remove("$.choices[*].delta.role", when=None),
            Default("$.choices", []),
        ),
        edit=edit_chat,
        keys=(b'"model"', b'"usage":{', b'"role"'),
        marker=b'"content":"',
    ),
    "messages": Task(
        rules=(
            Set("$.message.model", ALIAS),
            *_cost("$.usage"),
            Default("$.message.usage.cache_read_input_tokens", 0),
        ),
        edit=edit_messages,
        keys=(b'"message":', b'"usage":'),
        marker=b'"text":"',
    ),
    "responses": Task(
        rules=(
            Set("$.response.model", ALIAS),
            *_cost("$.response.usage"),
            Default("$.response.usage.input_tokens_details.cached_tokens", 0),
        ),
        edit=edit_responses,
        keys=(b'"response":',),
        marker=b'"sequence_number":',
    ),
    "gemini": Task(
        rules=(
            Set("$.modelVersion", ALIAS),
            *_cost("$.usageMetadata"),
            Default("$.usageMetadata.cachedContentTokenCount", 0),
        ),
        edit=edit_gemini,
        keys=(b'"modelVersion"', b'"usageMetadata"'),
        marker=b'"text": "',
        separator=b"\r\n\r\n",
    ),
    "nothing matches": Task(rules=CACHED, edit=edit_cost, keys=(b'"usage":{',), marker=b'"content":"'),
}
