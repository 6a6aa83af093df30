"""The parsed oracle: the rules applied to a parsed tree, top-down, with json.loads as the judge.

Shares nothing with the byte oracle: no spans, no selection lists; each path walks down with the tree.
Members are lists of pairs, so duplicates stay; numbers keep their spelling.
"""

from __future__ import annotations

import json
from fractions import Fraction

from oracle_json import segments

KEEP, REMOVED = object(), object()


class Object(list):
    """Members as (key, value) pairs, in order."""


class Number(str):
    """A number as it is spelled."""


class Literal(str):
    """NaN, Infinity, -Infinity."""


def parse(text: bytes | str) -> object:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return json.loads(text, object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=Literal)


def constant(value: object) -> object:
    return parse(json.dumps(value))


def same(left: object, right: object) -> bool:
    """JSON equality; the last of duplicate members counts."""
    if isinstance(left, Literal) or isinstance(right, Literal):
        return type(left) is type(right) and left == right != "NaN"
    if type(left) is not type(right):
        return False
    if isinstance(left, Number):
        return Fraction(left) == Fraction(right)
    if isinstance(left, Object):
        one, other = dict(left), dict(right)
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def step(state: tuple, key: object) -> list[tuple]:
    """The states of a path after it went down to a child with this key (name or index)."""
    rule, rest = state
    if not rest:
        return []
    (kind, wanted), after = rest[0], rest[1:]
    hit = kind == "any" or (type(key) is type(wanted) and key == wanted)
    found = [(rule, after)] if hit else []
    return [*found, state] if kind == "deep" else found


def new_value(rule: dict, value: object, counter: object) -> object:
    op = rule["op"]
    if "when" in rule and not same(value, constant(rule["when"])):
        return KEEP
    if op == "remove":
        return REMOVED
    if op in ("replace", "set"):
        return constant(rule["value"])
    if op == "renumber":
        return counter
    if op == "default" and rule.get("null_counts_as_missing") and value is None:
        return constant(rule["value"])
    if op == "map" and not isinstance(value, list):
        pairs = rule["map"].items() if isinstance(rule["map"], dict) else rule["map"]
        images = [new for old, new in pairs if same(value, constant(old))]
        if images or "otherwise" in rule:
            return constant(images[0] if images else rule["otherwise"])
    if op == "transform":
        old = plain(value)
        new = rule["function"](old)
        return KEEP if type(new) is type(old) and new == old else constant(new)
    return KEEP


def plain(value: object) -> object:
    """The tree as json.loads gives it."""
    if isinstance(value, Object):
        return {key: plain(member) for key, member in value}
    if isinstance(value, list):
        return [plain(element) for element in value]
    return json.loads(value) if isinstance(value, (Number, Literal)) else value


def rewrite(value: object, rules: list[dict], counters: dict[int, object]) -> object:
    """The tree after the rules; `counters` holds the number of each Renumber rule, by its index."""
    paths = [(index, tuple(segments(rule["path"]))) for index, rule in enumerate(rules) if "path" in rule]
    return _walk(value, paths, rules, counters)


def _walk(value: object, states: list[tuple], rules: list[dict], counters: dict[int, object]) -> object:
    for index in sorted(index for index, rest in states if not rest):
        if (new := new_value(rules[index], value, counters.get(index))) is not KEEP:
            return new
    if isinstance(value, Object):
        return _members(value, states, rules, counters)
    if isinstance(value, list):
        walked = [
            _walk(element, [s for state in states for s in step(state, at)], rules, counters)
            for at, element in enumerate(value)
        ]
        return [element for element in walked if element is not REMOVED]
    return value


def _members(members: Object, states: list[tuple], rules: list[dict], counters: dict[int, object]) -> Object:
    standing = {key for key, _ in members}
    below = [[s for state in states for s in step(state, key)] for key, _ in members]
    walked = [_walk(member, down, rules, counters) for (_, member), down in zip(members, below, strict=True)]
    out = [[key, member] for (key, _), member in zip(members, walked, strict=True)]
    made: dict[str, int] = {}
    inserted = []
    renamed = set()
    for index, rule in enumerate(rules):
        if rule["op"] == "rename":
            for at, down in enumerate(below):
                hit = (index, ()) in down and out[at][1] is not REMOVED and at not in renamed
                if hit and rule["key"] not in standing and made.setdefault(rule["key"], index) == index:
                    out[at][0] = rule["key"]
                    renamed.add(at)
        elif rule["op"] in ("set", "default", "renumber"):
            name = segments(rule["path"])[-1]
            if (index, (name,)) in states and name[1] not in standing and name[1] not in made:
                made[name[1]] = index
                new = counters.get(index) if rule["op"] == "renumber" else constant(rule["value"])
                inserted.append([name[1], new])
    return Object([(key, member) for key, member in out + inserted if member is not REMOVED])
