"""A naive oracle for dialects: what the options come to, and what is to be known of a stream, all of it parsed."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from oracle import Block, blocks_of, expected
from sse_fast.dialects import Usage

MASK = {"x-1": "ours", "": "ours"}
OPTIONS: dict[str, dict[str, Any]] = {
    "model": {"model": "ours/modèle"},
    "models": {"model": MASK},
    "strip_cost": {"strip_cost": True},
    "strip_provider": {"strip_provider": True},
    "repair": {"repair": True},
    "drop_usage_chunk": {"drop_usage_chunk": True},
    "reasoning": {"reasoning": "reasoning"},
    "reasoning_content": {"reasoning": "reasoning_content"},
}
ALL: dict[str, Any] = {
    "model": "ours",
    "strip_cost": True,
    "strip_provider": True,
    "repair": True,
    "drop_usage_chunk": True,
    "reasoning": "reasoning",
}
ALL_OPTIONS = OPTIONS | {"all": ALL}


@dataclass(frozen=True)
class Number:
    """A number as it is spelled."""

    text: str


def spelled(text: bytes | str) -> Any:
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=Number)


def spell(value: Any) -> str:
    """The JSON text of what `spelled` gave."""
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{spell(each)}" for key, each in value.items()) + "}"
    return "[" + ",".join(map(spell, value)) + "]" if isinstance(value, list) else json.dumps(value)


def at(value: Any, *names: str) -> list[dict]:
    """The objects behind the names, lists gone through."""
    found = value if isinstance(value, list) else [value]
    for name in names:
        found = [each[name] for each in found if isinstance(each, dict) and name in each]
        found = [one for each in found for one in (each if isinstance(each, list) else [each])]
    return [each for each in found if isinstance(each, dict)]


def usages(api: str, value: Any, is_body: bool) -> list[dict]:
    if api in ("chat_completions", "completions"):
        places = [("usage",), ("choices", "usage"), ("x_groq", "usage")]
    elif api == "messages":
        places = [("usage",)] if is_body else [("usage",), ("message", "usage")]
    elif api == "responses":
        places = [("usage",)] if is_body else [("response", "usage")]
    else:
        places = [("usageMetadata",)]
    return [usage for place in places for usage in at(value, *place)]


def change(api: str, value: Any, options: dict[str, Any], *, is_body: bool = False) -> None:
    """What the options come to, in place."""
    if isinstance(value, list) and is_body and api == "gemini":
        for each in value:
            change(api, each, options, is_body=True)
        return
    if not isinstance(value, dict):
        return
    is_chat = api in ("chat_completions", "completions")
    holder = {"messages": at(value, "message"), "responses": at(value, "response")}.get(api)
    name = "modelVersion" if api == "gemini" else "model"
    new = options.get("model")
    models = [value] if holder is None or is_body else holder
    for each in [*models, *at(value, "x_groq", "usage_breakdown", "models")] if is_chat else models:
        if new is not None and name in each:
            each[name] = new if isinstance(new, str) else new.get(each[name], each[name])
    gateways = [each for part in ("delta", "message") for each in at(value, "choices", part, "provider_metadata")]
    for usage in [*usages(api, value, is_body), *at(gateways, "gateway")] if options.get("strip_cost") else ():
        for cost in ("cost", "cost_details", "cost_in_usd_ticks", "is_byok", "market_cost", "marketCost"):
            usage.pop(cost, None)
    if options.get("strip_provider"):
        if api != "gemini":
            value.pop("provider", None)
        for each in holder or ():
            each.pop("provider", None)
        for each in at(value, "response", "metadata") if api == "responses" else ():
            each.pop("system_fingerprint", None)
        if is_chat:
            value.pop("system_fingerprint", None)
            for choice in at(value, "choices"):
                choice.pop("native_finish_reason", None)
            for each in [*at(value, "choices", "delta"), *at(value, "choices", "message")]:
                each.pop("provider_metadata", None)
            for each in at(value, "error", "metadata"):
                each.pop("provider_name", None)
    if options.get("repair"):
        repair(api, value, is_body)
    wanted = options.get("reasoning")
    other = {"reasoning": "reasoning_content", "reasoning_content": "reasoning"}.get(wanted or "")
    for each in [*at(value, "choices", "delta"), *at(value, "choices", "message")] if api == "chat_completions" else ():
        if other in each and wanted not in each:
            renamed = {wanted if key == other else key: each[key] for key in each}
            each.clear()
            each.update(renamed)


def repair(api: str, value: dict, is_body: bool) -> None:
    if api in ("chat_completions", "completions"):
        for each in at(value, "choices", "delta") if api == "chat_completions" and not is_body else ():
            if "role" in each and each["role"] in (None, ""):
                del each["role"]
        if not is_body:
            value.setdefault("choices", [])
        for usage in usages(api, value, is_body) if api == "chat_completions" or is_body else at(value, "usage"):
            for details in at(usage, "prompt_tokens_details"):
                details.setdefault("cached_tokens", Number("0"))
    if api == "responses":
        for usage in usages(api, value, is_body):
            for details in at(usage, "input_tokens_details"):
                details.setdefault("cached_tokens", Number("0"))
            for details in at(usage, "output_tokens_details"):
                details.setdefault("reasoning_tokens", Number("0"))


def is_usage_chunk(api: str, value: Any) -> bool:
    if api not in ("chat_completions", "completions") or not isinstance(value, dict) or value.get("choices") != []:
        return False
    return any("total_tokens" in usage for usage in at(value, "usage"))


@dataclass(frozen=True)
class Wanted:
    """One block that leaves: the block that came, and its payload's value where that changes."""

    block: Block
    value: Any = None
    changes: bool = False


@functools.lru_cache(8)
def parsed(stream: bytes) -> tuple[list[tuple[Block, bytes, Any]], Block]:
    """Each block of a stream, its payload and that as a value, None where it is no JSON; and what is left."""
    _, blocks, tail = blocks_of(stream)
    if tail.lines:
        _, blocks, tail = blocks_of(expected(stream).output)
    found = []
    for each in blocks:
        text, value = each.payload, None
        with contextlib.suppress(ValueError):
            value = spelled(text)
        found.append((each, text, value))
    return found, tail


def wanted(api: str, stream: bytes, options: dict[str, Any]) -> list[Wanted]:
    """The blocks that leave a rewriter with these options; what is left without a blank line comes last."""
    blocks, tail = parsed(stream)
    found: list[Wanted] = []
    number: int | None = None
    for each, text, before in blocks:
        if options.get("repair") and not text:
            continue
        if before is None:
            found.append(Wanted(each))
            continue
        value = spelled(text)
        if options.get("drop_usage_chunk") and is_usage_chunk(api, value):
            continue
        change(api, value, options)
        if options.get("repair") and api == "responses" and isinstance(value, dict):
            if number is None:
                number = int(value["sequence_number"].text) if "sequence_number" in value else 0
            value["sequence_number"] = Number(str(number))
            number += 1
        found.append(Wanted(each, value, value != before))
    return [*found, Wanted(tail)] if tail.lines else found


def as_stream(blocks: list[Wanted]) -> bytes:
    """The same as a stream, each changed payload written anew."""
    out = b""
    for each in blocks:
        if each.changes:
            rest = [line.content + line.ending for line in each.block.lines if line not in each.block.data]
            out += b"data: " + spell(each.value).encode() + b"\n" + b"".join(rest)
        else:
            out += each.block.raw
    return out


@functools.lru_cache(8)
def values_of(stream: bytes) -> tuple[Any, ...]:
    """What a client parses of each event."""
    found = []
    for _, text, _ in parsed(stream)[0]:
        with contextlib.suppress(ValueError):
            found.append(json.loads(text))
    return tuple(found)


def last(values: Iterable[Any]) -> Any:
    return next((value for value in reversed([*values]) if value is not None), None)


def members(values: list[Any], *path: str) -> list[Any]:
    """The member at the path's end of each object at the path's start."""
    *parents, name = path
    return [each[name] for value in values for each in at(value, *parents) if name in each]


def number(usage: Any, *names: str) -> Any:
    for name in names:
        usage = usage.get(name) if isinstance(usage, dict) else None
    return usage if isinstance(usage, (int, float)) else None


def sum_of(*numbers: Any) -> Any:
    known = [each for each in numbers if each is not None]
    return sum(known) if known else None


def usage_of_openai(usage: Any, given: str, got: str) -> tuple[Any, ...]:
    cached = number(usage, f"{given}_tokens_details", "cached_tokens")
    return (
        number(usage, f"{given}_tokens"),
        number(usage, f"{got}_tokens"),
        number(usage, "total_tokens"),
        number(usage, "prompt_cache_hit_tokens") if cached is None else cached,
        number(usage, f"{got}_tokens_details", "reasoning_tokens"),
        next(
            (price for price in (number(usage, "cost"), number(usage, "cost", "total_cost")) if price is not None), None
        ),
    )


def usage_of_gemini(usage: Any) -> tuple[Any, ...]:
    thoughts = number(usage, "thoughtsTokenCount")
    return (
        number(usage, "promptTokenCount"),
        sum_of(number(usage, "candidatesTokenCount"), thoughts),
        number(usage, "totalTokenCount"),
        number(usage, "cachedContentTokenCount"),
        thoughts,
        None,
    )


def usage_of_messages(usage: dict) -> tuple[Any, ...]:
    cached = number(usage, "cache_read_input_tokens")
    return (
        sum_of(number(usage, "input_tokens"), number(usage, "cache_creation_input_tokens"), cached),
        number(usage, "output_tokens"),
        None,
        cached,
        number(usage, "output_tokens_details", "thinking_tokens"),
        number(usage, "cost"),
    )


def full_parse(api: str, stream: bytes) -> dict[str, Any]:
    """What is to be known of a stream, of all its events parsed."""
    values = values_of(stream)
    if api in ("chat_completions", "completions"):
        places = [("usage",), ("choices", "usage"), ("x_groq", "usage")]
        usage = usage_of_openai(
            next(filter(None, (last(members(values, *p)) for p in places)), None), "prompt", "completion"
        )
        models, ids = members(values, "model"), members(values, "id")
        finish = members(values, "choices", "finish_reason")
    elif api == "messages":
        said: dict[str, Any] = {}
        for each in (last(members(values, "message", "usage")), last(members(values, "usage"))):
            said |= {name: value for name, value in (each or {}).items() if value is not None}
        usage = usage_of_messages(said)
        models, ids = members(values, "message", "model"), members(values, "message", "id")
        finish = members(values, "delta", "stop_reason")
    elif api == "responses":
        usage = usage_of_openai(last(members(values, "response", "usage")), "input", "output")
        models, ids = members(values, "response", "model"), members(values, "response", "id")
        finish = members(values, "response", "status")
    else:
        usage = usage_of_gemini(last(members(values, "usageMetadata")))
        models, ids = members(values, "modelVersion"), members(values, "responseId")
        finish = members(values, "candidates", "finishReason")
    given, got, total, *more = usage
    usage = Usage(given, got, sum_of(given, got) if total is None else total, *more)
    return {
        "models": models,
        "model": last(models),
        "id": last(ids),
        "finish": last(finish),
        "usage": usage,
    }
