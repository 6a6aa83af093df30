"""What the demo replays: for each sample stream the rules of a typical gateway, and what must come out.

The expectation is written in plain Python on parsed payloads, apart from the rules, so that the demo checks
the engine instead of trusting it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sse_fast import Default, DropEvent, EventIs, Remove, Renumber, Replace, Rules, Set

Events = list[tuple[str, Any]]
"""Events in order: the name, and the payload as parsed JSON (or as text where it is not JSON)."""

ALIAS = "gateway-fast"

_COST = ("cost", "cost_details", "is_byok")


@dataclass(frozen=True)
class Scenario:
    """One sample stream with its rules."""

    sample: str
    rules: Rules
    expected: Callable[[Events], Events]
    comments: str = "keep"


def _chat_completions(events: Events) -> Events:
    for _, payload in events:
        if not isinstance(payload, dict):
            continue
        payload["model"] = ALIAS
        payload.pop("provider", None)
        for choice in payload.setdefault("choices", []):
            if choice["delta"].get("role", "") is None:
                del choice["delta"]["role"]
        _tidy(payload.get("usage"), "prompt_tokens_details")
    return events


def _messages(events: Events) -> Events:
    for _, payload in events:
        if payload["type"] == "message_start":
            payload["message"]["model"] = ALIAS
            payload["message"]["usage"].setdefault("cache_read_input_tokens", 0)
        payload.get("usage", {}).pop("cost", None)
    return events


def _responses(events: Events) -> Events:
    kept = [(name, payload) for name, payload in events if name != "response.queued"]
    for number, (_, payload) in enumerate(kept):
        payload["sequence_number"] = number
        if "response" in payload:
            payload["response"]["model"] = ALIAS
            _tidy(payload["response"]["usage"], "input_tokens_details")
    return kept


def _tidy(usage: dict[str, Any] | None, details: str) -> None:
    if usage is None:
        return
    for name in _COST:
        usage.pop(name, None)
    usage[details].setdefault("cached_tokens", 0)


SCENARIOS = (
    Scenario(
        "chat_completions",
        Rules(
            [
                Set("$.model", ALIAS),
                Remove("$.provider"),
                *(Remove(f"$.usage.{name}") for name in _COST),
                Remove("$.choices[*].delta.role", when=None),
                Default("$.choices", []),
                Default("$.usage.prompt_tokens_details.cached_tokens", 0),
            ]
        ),
        _chat_completions,
        comments="keep-alive",
    ),
    Scenario(
        "messages",
        Rules(
            [
                Replace("$.message.model", ALIAS),
                Default("$.message.usage.cache_read_input_tokens", 0),
                Remove("$.usage.cost"),
            ]
        ),
        _messages,
    ),
    Scenario(
        "responses",
        Rules(
            [
                DropEvent(EventIs("response.queued")),
                Renumber("$.sequence_number"),
                Replace("$.response.model", ALIAS),
                *(Remove(f"$.response.usage.{name}") for name in _COST),
                Default("$.response.usage.input_tokens_details.cached_tokens", 0),
            ]
        ),
        _responses,
    ),
)
