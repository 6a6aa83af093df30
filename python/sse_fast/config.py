"""The JSON form of rules, for configuration files.

A list of objects, each with its ``op`` and the rule's arguments by name::

    [{"op": "set", "path": "$.model", "value": "alias"},
     {"op": "remove", "path": "$.choices[*].delta.role", "when": null},
     {"op": "map", "path": "$.model", "map": [["gpt-4o", "large"]], "otherwise": "small"},
     {"op": "drop_event", "conditions": [{"equals": "$.choices", "value": []}, {"exists": "$.usage"}]}]
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sse_fast import rules as r
from sse_fast.errors import RuleError


def _map(path: str, map: Any, **options: Any) -> r.Map:
    return r.Map(path, map, **options)


def _drop_event(conditions: Any) -> r.DropEvent:
    if not isinstance(conditions, list):
        raise RuleError(f"'conditions' is a list of objects, not {conditions!r}")
    return r.DropEvent(*map(_condition, conditions))


_CONDITIONS: dict[frozenset[str], Callable[..., r.Condition]] = {
    frozenset({"equals", "value"}): lambda equals, value: r.Equals(equals, value),
    frozenset({"exists"}): lambda exists: r.Exists(exists),
    frozenset({"missing"}): lambda missing: r.Missing(missing),
    frozenset({"event_is"}): lambda event_is: r.EventIs(event_is),
}


def _condition(item: Any) -> r.Condition:
    make = _CONDITIONS.get(frozenset(item)) if isinstance(item, dict) else None
    if make is None:
        raise RuleError(f"a condition has 'equals' and 'value', 'exists', 'missing' or 'event_is', not {item!r}")
    return make(**item)


# Per operation: what makes the rule, the arguments it must have, those it may have.
_OPERATIONS: dict[str, tuple[Callable[..., r.Rule], tuple[str, ...], tuple[str, ...]]] = {
    "replace": (r.Replace, ("path", "value"), ("when",)),
    "set": (r.Set, ("path", "value"), ()),
    "default": (r.Default, ("path", "value"), ("null_counts_as_missing",)),
    "remove": (r.Remove, ("path",), ("when",)),
    "rename": (r.Rename, ("path", "key"), ()),
    "map": (_map, ("path", "map"), ("otherwise",)),
    "renumber": (r.Renumber, ("path",), ("start",)),
    "capture": (r.Capture, ("name", "path"), ("keep", "null_counts_as_missing")),
    "drop_event": (_drop_event, ("conditions",), ()),
}


def rules_from_json(config: str | bytes | list[Any]) -> list[r.Rule]:
    """The rules that a JSON text, or the list it holds, describes. `RuleError` says which item is wrong, and why."""
    if isinstance(config, (str, bytes)):
        try:
            config = json.loads(config)
        except ValueError as error:
            raise RuleError(f"the rules are not JSON: {error}") from error
    if not isinstance(config, list):
        raise RuleError(f"the rules are a JSON list of objects, not {type(config).__name__}")
    return [_rule(number, item) for number, item in enumerate(config)]


def _rule(number: int, item: Any) -> r.Rule:
    if not isinstance(item, Mapping):
        raise RuleError(f"rule {number} is an object such as {{'op': 'remove', 'path': '$.a'}}, not {item!r}")
    arguments = dict(item)
    op = arguments.pop("op", None)
    if not isinstance(op, str) or op not in _OPERATIONS:
        raise RuleError(f"rule {number}: 'op' is {op!r}: it must be one of {', '.join(_OPERATIONS)}")
    make, required, optional = _OPERATIONS[op]
    for name in required:
        if name not in arguments:
            raise RuleError(f"rule {number}: '{op}' needs '{name}'")
    for name in arguments:
        if name not in required and name not in optional:
            raise RuleError(f"rule {number}: '{op}' knows no '{name}'")
    try:
        return make(**arguments)
    except RuleError as error:
        raise RuleError(f"rule {number}: {error}", error.path, error.offset) from error


def rules_to_json(rules: Iterable[r.Rule]) -> str:
    """The JSON text, one rule a line."""
    lines = [json.dumps(_item(rule), ensure_ascii=False) for rule in rules]
    return "[" + ",\n ".join(lines) + "]"


def _item(rule: r.Rule) -> dict[str, Any]:
    op, *spec = rule._spec
    if op == "transform":
        raise RuleError(f"path '{spec[0]}': a Transform has no JSON form", spec[0])
    if op == "drop_event":
        return {"op": op, "conditions": [_condition_item(*condition) for condition in spec[0]]}
    _, required, optional = _OPERATIONS[op]
    item = {"op": op}
    for name, value in zip((*required, *optional), spec, strict=True):
        if name == "map":
            item[name] = [[json.loads(old), json.loads(new)] for old, new in value]
        elif isinstance(value, bytes):
            item[name] = json.loads(value)
        elif name in required or (value is not None and value is not False):
            item[name] = value
    return item


def _condition_item(kind: str, path_or_name: str, value: bytes | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {kind: path_or_name}
    if value is not None:
        item["value"] = json.loads(value)
    return item
