"""What the demo asks: for each sample stream a route of the gateway, a request, and what must come of it.

The expectation is written in plain Python on parsed payloads, apart from the rules, so that the demo checks
the gateway instead of trusting it.
"""

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sse_fast.gateway import Config

Events = list[tuple[str, Any]]
"""Events in order: the name, and the payload as parsed JSON (or as text where it is not JSON)."""

ALIAS = "gateway-fast"

_SAID = [{"role": "user", "content": "Hello"}]
_COST = ("cost", "cost_details", "is_byok")


@dataclass(frozen=True)
class Scenario:
    """One sample stream with its route."""

    sample: str
    path: str
    model: str
    """What the upstream calls the alias."""
    settings: str
    """The rest of the route, as in a configuration file."""
    request: dict[str, Any]
    expected: Callable[[Events], Events]
    usage: dict[str, float]
    comments: str | None = None
    """The text of each comment; None where they stay."""

    @property
    def route(self) -> dict[str, Any]:
        """The table of the configuration; an upstream is to be added."""
        return {"name": self.sample, "path": self.path, **tomllib.loads(self.settings)}


def _chat_completions(events: Events) -> Events:
    for _, payload in events:
        if not isinstance(payload, dict):
            continue
        payload["model"] = ALIAS
        payload.pop("provider", None)
        payload.pop("system_fingerprint", None)
        for choice in payload.setdefault("choices", []):
            choice.pop("native_finish_reason", None)
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
        sample="chat_completions",
        path="/v1/chat/completions",
        model="acme/quill-large-2026-01",
        settings="""\
models = { gateway-fast = "acme/quill-large-2026-01" }
strip_cost = true
strip_provider = true
repair = true
empty_blocks = "keep"
comments = "keep-alive"
""",
        request={"model": ALIAS, "stream": True, "messages": _SAID},
        expected=_chat_completions,
        usage={"input": 21, "output": 34, "total": 55, "reasoning": 0, "cost": 7.5e-05},
        comments="keep-alive",
    ),
    Scenario(
        sample="messages",
        path="/v1/messages",
        model="claude-sample-5-20260101",
        settings="""\
models = { gateway-fast = "claude-sample-5-20260101" }
strip_cost = true
rules = [{ op = "default", path = "$.message.usage.cache_read_input_tokens", value = 0 }]
""",
        request={"model": ALIAS, "stream": True, "max_tokens": 100, "messages": _SAID},
        expected=_messages,
        usage={"input": 412, "output": 89, "total": 501, "cost": 0.002571},
    ),
    Scenario(
        sample="responses",
        path="/v1/responses",
        model="acme-vision-5-2026-01-15",
        settings="""\
models = { gateway-fast = "acme-vision-5-2026-01-15" }
strip_cost = true
repair = true
rules = [{ op = "drop_event", conditions = [{ event_is = "response.queued" }] }]
""",
        request={"model": ALIAS, "stream": True, "input": "Draw a fox."},
        expected=_responses,
        usage={"input": 58, "output": 4187, "total": 4245, "reasoning": 0, "cost": 0.1675},
    ),
)


def configuration(upstream: str, scenarios: Iterable[Scenario] = SCENARIOS) -> Config:
    """The gateway's, with this URL for the upstream of each route."""
    routes = [{**scenario.route, "upstreams": [{"url": upstream}]} for scenario in scenarios]
    # Who presses Ctrl-C does not wait.
    return Config.model_validate({"shutdown_grace": 0.0, "routes": routes})
