"""What a model has used, in the same six numbers for every API."""

import json
import math
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
    return int(value) if _is_finite(value) else None


def price(usage: Any) -> float | None:
    """The price."""
    value = member(usage, "cost")
    if isinstance(value, Mapping):  # Perplexity's parts and their sum
        value = value.get("total_cost")
    return float(value) if _is_finite(value) else None


def _is_finite(value: Any) -> bool:
    # Python reads NaN, 1e400 and integers past any float, and whoever bills must not fail by them.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def member(value: Any, name: str) -> Any:
    """A member of what may be no object."""
    return value.get(name) if isinstance(value, Mapping) else None


def parsed(body: bytes | str) -> Any:
    """The value of a JSON text; None where it is none."""
    try:
        return json.loads(body)
    except (RecursionError, ValueError):
        return None
