"""What a model has used, in the same six numbers for every API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and their price; None where the API did not say."""

    input: int | None = None
    """Tokens of the prompt, those that came from a cache or went into one included."""
    output: int | None = None
    """Tokens of the answer, its reasoning included."""
    total: int | None = None
    """As the API says, else the sum of the two."""
    cached: int | None = None
    """Those of the input that came from a cache."""
    reasoning: int | None = None
    """Those of the output that were reasoning."""
    cost: float | None = None
    """The price that a router named, in its own currency."""


def openai_usage(usage: Any, *, input: str = "prompt", output: str = "completion") -> Usage:
    """Of OpenAI's object: ``input`` and ``output`` are how it names the two."""
    read, written = count(usage, f"{input}_tokens"), count(usage, f"{output}_tokens")
    cached = count(member(usage, f"{input}_tokens_details"), "cached_tokens")
    return Usage(
        input=read,
        output=written,
        total=total(count(usage, "total_tokens"), read, written),
        cached=count(usage, "prompt_cache_hit_tokens") if cached is None else cached,
        reasoning=count(member(usage, f"{output}_tokens_details"), "reasoning_tokens"),
        cost=price(usage),
    )


def total(said: int | None, *parts: int | None) -> int | None:
    """The sum of what is known, unless the API says a total."""
    known = [part for part in parts if part is not None]
    return said if said is not None or not known else sum(known)


def count(usage: Any, name: str) -> int | None:
    """A number of tokens."""
    value = member(usage, name)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def price(usage: Any) -> float | None:
    """The price."""
    value = member(usage, "cost")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def member(value: Any, name: str) -> Any:
    """A member of what may be no object."""
    return value.get(name) if isinstance(value, Mapping) else None


def as_object(body: bytes | str) -> Mapping[str, Any]:
    """A JSON text's object, an empty one where it holds none."""
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
