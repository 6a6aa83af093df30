"""Rules: construction, errors, equality, pickles, the JSON form, repr."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import sse_fast
import support
from sse_fast import (
    ANY,
    KEEP,
    Capture,
    Default,
    DropEvent,
    Equals,
    EventIs,
    Exists,
    Map,
    Missing,
    Remove,
    Rename,
    Renumber,
    Replace,
    Rewriter,
    RuleError,
    Rules,
    Set,
    Transform,
)


def upper(value):
    return value.upper()


ALL = [
    Replace("$.a", 1),
    Replace("$.a2", [1, {"b": None}], when="x"),
    Set("$.b", "é"),
    Default("$.c", 1.5),
    Default("$.c2", 0, null_counts_as_missing=True),
    Remove("$.d"),
    Remove("$.d2", when=None),
    Rename("$.e", "f"),
    Map("$.g", {"up": "ours"}),
    Map("$.g2", {1: True, None: []}, otherwise="z"),
    Renumber("$.h"),
    Renumber("$.h2", 7),
    Capture("i", "$.i"),
    Capture("i2", "$..i[*]", keep="all"),
    DropEvent(Exists("$.j"), Missing("$.k"), Equals("$.l", None), EventIs("ping")),
]


# Errors ------------------------------------------------------------------------------------------------

BAD_PATHS = {
    "": None,
    "a": None,
    "$.": None,
    "$..": None,
    "$a": None,
    "$.a.": None,
    "$[": None,
    "$[]": None,
    "$[-1]": 2,
    "$.a[-1]": 4,
    "$[1:2]": None,
    "$[:]": None,
    "$[0,1]": None,
    "$['a','b']": None,
    "$.a[?(@.b)]": 4,
    "$[?@.b]": 2,
    "$['a]": None,
    "$['a\"]": None,
    "$[a]": None,
    "$[01]": None,
    "$.a b": None,
    "$.1": None,
    "$.a ": None,
    "$[99999999999999999999999]": None,
    "@.a": None,
    "$.a$": None,
    "$['\\x']": None,
    "$['\\ud800']": None,
}


@pytest.mark.parametrize(("path", "offset"), BAD_PATHS.items(), ids=repr)
@pytest.mark.parametrize(
    "make", [Remove, Exists, lambda path: Capture("n", path)], ids=["rule", "condition", "capture"]
)
def test_bad_paths_are_named_with_their_offset(make, path, offset):
    with pytest.raises(RuleError) as caught:
        Rules([rule if isinstance(rule := make(path), (Remove, Capture)) else DropEvent(rule)])
    error = caught.value
    assert error.path == path
    assert isinstance(error.offset, int)
    assert 0 <= error.offset <= len(path)
    assert offset in (None, error.offset)
    assert repr(path)[1:-1] in str(error) or path in str(error)
    assert "offset" in str(error)


def test_the_message_of_a_negative_index():
    with pytest.raises(RuleError, match=r"path '\$\.a\[-1\]': negative index .*offset 4"):
        Remove("$.a[-1]")


@pytest.mark.parametrize("wrong", [None, 5, b"$.a", ["$"]])
def test_a_path_is_text(wrong):
    with pytest.raises((RuleError, TypeError)):
        Remove(wrong)


VALUES = [float("nan"), float("inf"), {1, 2}, object(), b"bytes", {"a": {1}}, [float("nan")], {(1, 2): 3}, 1j]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "make",
    [
        lambda value: Replace("$.model", value),
        lambda value: Set("$.model", value),
        lambda value: Default("$.model", value),
        lambda value: Remove("$.model", when=value),
        lambda value: Map("$.model", {"a": value}),
        lambda value: Map("$.model", {}, otherwise=value),
        lambda value: Equals("$.model", value),
    ],
    ids=["replace", "set", "default", "when", "map", "otherwise", "equals"],
)
def test_bad_values_are_refused_with_their_path(make, value):
    with pytest.raises(RuleError) as caught:
        make(value)
    assert caught.value.path == "$.model"
    assert "$.model" in str(caught.value)


def test_a_value_that_contains_itself():
    value: list = []
    value.append(value)
    with pytest.raises(RuleError):
        Replace("$.a", value)


BAD_RULES = {
    "set on an index": lambda: Set("$.a[0]", 1),
    "set on a wildcard": lambda: Set("$.*", 1),
    "set on a descendant": lambda: Set("$..a", 1),
    "default on an index": lambda: Default("$[0]", 1),
    "default on a descendant": lambda: Default("$.a..b", 1),
    "renumber on a wildcard": lambda: Renumber("$[*]"),
    "renumber on a descendant": lambda: Renumber("$..n"),
    "rename of an element": lambda: Rename("$.a[0]", "b"),
    "rename of everything": lambda: Rename("$.*", "b"),
    "remove the root": lambda: Remove("$"),
    "replace the root": lambda: Replace("$", 1),
    "set the root": lambda: Set("$", 1),
    "default the root": lambda: Default("$", 1),
    "rename the root": lambda: Rename("$", "a"),
    "map the root": lambda: Map("$", {}),
    "renumber the root": lambda: Renumber("$"),
    "renumber from a word": lambda: Renumber("$.n", "last"),
    "renumber from a fraction": lambda: Renumber("$.n", 1.5),
    "capture with another keep": lambda: Capture("n", "$.a", keep="some"),
}


@pytest.mark.parametrize("make", BAD_RULES.values(), ids=BAD_RULES)
def test_rules_that_make_no_sense(make):
    with pytest.raises(RuleError):
        make()


def test_rename_may_follow_a_descendant():
    assert support.run([Rename("$..a", "b")], b'data: [{"a":{"a":1}}]\n\n') == b'data: [{"b":{"b":1}}]\n\n'


CONFLICTS = {
    "two replaces": [Replace("$.a", 1), Replace("$.a", 2)],
    "two spellings of a path": [Replace("$.a", 1), Replace("$['a']", 2)],
    "wildcards in two spellings": [Remove("$.*"), Remove("$[*]")],
    "replace and remove": [Replace("$.a", 1), Remove("$.a")],
    "set and replace": [Set("$.a", 1), Replace("$.a", 2)],
    "map and replace where equal": [Map("$.a", {"x": "y"}), Replace("$.a", 1, when="x")],
    "map with otherwise and remove": [Map("$.a", {}, otherwise=1), Remove("$.a", when="x")],
    "two maps": [Map("$.a", {"x": 1}), Map("$.a", {"x": 2})],
    "the same when": [Remove("$.a", when=1), Replace("$.a", 2, when=1.0)],
    "transform and replace": [Transform("$.a", upper), Replace("$.a", 1)],
    "renumber and replace": [Renumber("$.a"), Replace("$.a", 1)],
    "null as missing and remove null": [
        Default("$.a", 1, null_counts_as_missing=True),
        Remove("$.a", when=None),
    ],
    "two sets": [Set("$.a", 1), Set("$.a", 1)],
    "set and default": [Set("$.a", 1), Default("$.a", 2)],
    "two defaults": [Default("$.a", 1), Default("$.a", 2)],
    "renumber and default": [Renumber("$.a"), Default("$.a", 2)],
    "two renames": [Rename("$.a", "b"), Rename("$.a", "c")],
    "two captures of one name": [Capture("n", "$.a"), Capture("n", "$.b")],
}


@pytest.mark.parametrize("rules", CONFLICTS.values(), ids=CONFLICTS)
def test_conflicts_are_found_at_construction(rules):
    for order in (rules, rules[::-1]):
        with pytest.raises(RuleError):
            Rules(order)
        with pytest.raises(RuleError):
            Rewriter(order)


def test_a_conflict_names_the_path():
    with pytest.raises(RuleError) as caught:
        Rules([Replace("$.model", 1), Replace("$.model", 2)])
    assert caught.value.path == "$.model"
    assert "$.model" in str(caught.value)


NO_CONFLICTS = {
    "different when": [Replace("$.a", 1, when="x"), Replace("$.a", 2, when="y"), Remove("$.a", when=None)],
    "when true and 1": [Remove("$.a", when=1), Remove("$.a", when=True)],
    "maps with different keys": [Map("$.a", {"x": 1}), Map("$.a", {"y": 2})],
    "map beside when": [Map("$.a", {"x": 1}), Remove("$.a", when=None)],
    "replace and default": [Replace("$.a", 1), Default("$.a", 2)],
    "remove and default": [Remove("$.a"), Default("$.a", 2)],
    "overlap by wildcard": [Replace("$.*", 1), Replace("$.a", 2)],
    "overlap by descendant": [Remove("$..a"), Replace("$.a", 2)],
    "one inside the other": [Remove("$.a"), Replace("$.a.b", 2)],
    "rename and replace": [Rename("$.a", "b"), Replace("$.a", 1)],
    "captures of one path": [Capture("n", "$.a"), Capture("m", "$.a"), Remove("$.a")],
    "a quoted star is a name": [Remove("$.*"), Remove("$['*']")],
}


@pytest.mark.parametrize("rules", NO_CONFLICTS.values(), ids=NO_CONFLICTS)
def test_no_conflict(rules):
    assert len(Rules(rules)) == len(rules)


def test_rules_take_rules_only():
    for wrong in ([1], ["$.a"], [Exists("$.a")], 5, None):
        with pytest.raises((TypeError, RuleError)):
            Rules(wrong)
    with pytest.raises((TypeError, RuleError)):
        DropEvent(Remove("$.a"))


def test_error_classes():
    assert issubclass(RuleError, ValueError)
    assert issubclass(RuleError, sse_fast.SSEFastError)
    assert issubclass(sse_fast.InvalidEventError, sse_fast.SSEFastError)
    assert issubclass(sse_fast.FinishedError, (sse_fast.SSEFastError, RuntimeError))
    assert issubclass(sse_fast.FinishedError, RuntimeError)


# Values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: type(rule).__name__)
def test_a_rule_is_a_value(rule):
    again = pickle.loads(pickle.dumps(rule))
    assert again == rule
    assert hash(again) == hash(rule)
    assert repr(again) == repr(rule)
    assert sum(rule == other for other in ALL) == 1
    assert rule != "rule"


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: type(rule).__name__)
def test_a_repr_can_be_read_and_evaluated(rule):
    names = {name: getattr(sse_fast, name) for name in sse_fast.__all__}
    assert eval(repr(rule), names) == rule


def test_reprs():
    assert repr(Remove("$.usage.cost")) == "Remove('$.usage.cost')"
    assert repr(Rules([Remove("$.usage.cost"), Rename("$.a", "b")])) == (
        "Rules([Remove('$.usage.cost'), Rename('$.a', 'b')])"
    )
    assert repr(Rules([])) == "Rules([])"
    assert repr(Remove("$.a", when=None)) == "Remove('$.a', when=None)"
    assert "upper" in repr(Transform("$.a", upper))
    assert "ANY" in repr(ANY)
    assert "KEEP" in repr(KEEP)


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: type(rule).__name__)
def test_a_rule_is_immutable(rule):
    for name in ("path", "value", "new_attribute"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(rule, name, "$.x")


def test_a_value_is_taken_at_construction():
    value: dict = {"a": [1]}
    rule = Replace("$.v", value)
    rules = Rules([rule])
    value["a"].append(2)
    assert support.run(rules, b'data: {"v":0}\n\n') == b'data: {"v":{"a":[1]}}\n\n'
    assert support.run([rule], b'data: {"v":0}\n\n') == b'data: {"v":{"a":[1]}}\n\n'


def test_equality_by_content():
    assert Replace("$.a", {"x": 1}) == Replace("$.a", {"x": 1})
    assert Replace("$.a", 1) != Replace("$.a", 2)
    assert Replace("$.a", 1) != Set("$.a", 1)
    assert Remove("$.a") != Remove("$.a", when=None)
    assert Transform("$.a", upper) == Transform("$.a", upper)


def test_the_sentinels_survive_a_pickle():
    assert pickle.loads(pickle.dumps(ANY)) is ANY
    assert pickle.loads(pickle.dumps(KEEP)) is KEEP


def test_rules_are_a_value():
    rules = Rules(ALL)
    assert list(rules) == ALL
    assert len(rules) == len(ALL)
    assert rules == Rules(iter(ALL))
    assert rules != Rules(ALL[::-1])
    assert hash(rules) == hash(Rules(ALL))
    assert {rules: 1}[Rules(ALL)] == 1
    assert rules != ALL
    again = pickle.loads(pickle.dumps(rules))
    assert again == rules
    assert repr(again) == repr(rules)
    for name in ("rules", "anything"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(rules, name, 1)


def test_rules_are_shared_between_threads():
    rules = Rules([Replace("$.model", "m"), Remove("$..cost")])
    stream = b'data: {"model":"up","usage":{"cost":1}}\n\n' * 200
    with ThreadPoolExecutor(4) as pool:
        outs = list(pool.map(lambda seed: support.run(rules, support.random_cuts(stream, seed)), range(12)))
    assert set(outs) == {b'data: {"model":"m","usage":{}}\n\n' * 200}


# JSON form ---------------------------------------------------------------------------------------------


def test_json_round_trip():
    rules = Rules(ALL)
    text = rules.to_json()
    assert Rules.from_json(text) == rules
    assert Rules.from_json(json.loads(text)) == rules
    assert Rules.from_json(text).to_json() == text


def test_json_form_of_each_rule():
    forms = {entry["op"]: entry for entry in reversed(json.loads(Rules(ALL).to_json()))}
    assert forms["remove"] == {"op": "remove", "path": "$.d"}
    assert forms["replace"] == {"op": "replace", "path": "$.a", "value": 1}
    assert forms["rename"] == {"op": "rename", "path": "$.e", "key": "f"}
    assert forms["set"] == {"op": "set", "path": "$.b", "value": "é"}
    assert forms["drop_event"]["conditions"] == [
        {"exists": "$.j"},
        {"missing": "$.k"},
        {"equals": "$.l", "value": None},
        {"event_is": "ping"},
    ]


def test_json_form_of_the_contract():
    assert Rules.from_json('[{"op": "remove", "path": "$.usage.cost"}]') == Rules([Remove("$.usage.cost")])
    assert Rules.from_json([{"op": "remove", "path": "$.a", "when": None}]) == Rules([Remove("$.a", when=None)])
    both = (
        [{"op": "map", "path": "$.a", "map": {"x": "y"}}],
        [{"op": "map", "path": "$.a", "map": [["x", "y"]]}],
    )
    assert Rules.from_json(both[0]) == Rules.from_json(both[1]) == Rules([Map("$.a", {"x": "y"})])


BAD_JSON = ["", "{", "{}", "5", "null", '"remove"', "[5]", "[{}]"]
BAD_JSON += ['[{"op":"explode","path":"$.a"}]', '[{"op":"remove"}]', '[{"op":"remove","path":"$[-1]"}]']
BAD_JSON += ['[{"op":"remove","path":5}]', '[{"op":"remove","path":"$.a","whn":1}]']
BAD_JSON += ['[{"op":"replace","path":"$.a"}]', '[{"op":"replace","path":"$.a","value":NaN}]']
BAD_JSON += ['[{"op":"remove","path":"$.a"},{"op":"remove","path":"$.a"}]']
BAD_JSON += ['[{"op":"transform","path":"$.a"}]', '[{"op":"drop_event","conditions":5}]']
BAD_JSON += ['[{"op":"drop_event","conditions":[{"is":"$.a"}]}]']


@pytest.mark.parametrize("text", BAD_JSON)
def test_bad_json_forms(text):
    with pytest.raises(RuleError):
        Rules.from_json(text)


def test_a_transform_has_no_json_form():
    with pytest.raises(RuleError):
        Rules([Transform("$.a", upper)]).to_json()


# Bodies ------------------------------------------------------------------------------------------------


def test_rewrite_json():
    rules = Rules([Replace("$.model", "m"), Remove("$.usage.cost"), Default("$.choices", [])])
    body = b'{ "model" : "up",\r\n "usage": {"cost":1e-07, "t":1} }\r\n'
    assert rules.rewrite_json(body) == b'{ "model" : "m",\r\n "usage": {"t":1},"choices":[] }\r\n'
    assert Rules([]).rewrite_json(body) == body


@pytest.mark.parametrize("body", [b"", b"{", b'{"model":1,}', b"not json", b"\xff", b"[DONE]", b'"model"', b" 5 "])
def test_rewrite_json_passes_what_is_no_object_or_array(body):
    assert Rules([Replace("$.model", "m"), Set("$.a", 1)]).rewrite_json(body) == body


def test_rewrite_json_starts_afresh_for_each_body():
    rules = Rules([Renumber("$.n")])
    assert [rules.rewrite_json(b'{"n":5}') for _ in range(2)] == [b'{"n":5}'] * 2


def test_read_json():
    rules = Rules(
        [
            Replace("$.model", "m"),
            Capture("model", "$.model"),
            Capture("finish", "$.choices[*].finish_reason", null_counts_as_missing=True),
            Capture("texts", "$..text", keep="all"),
            Capture("missing", "$.usage"),
        ]
    )
    body = (
        b'{"model": "up", "choices": [{"text":"a", "finish_reason":"stop"}, {"text":"\\u00e9", "finish_reason":null}]}'
    )
    wanted = {"model": "up", "finish": "stop", "texts": ["a", "é"], "missing": None}
    assert rules.read_json(body) == rules.read_json(bytearray(body)) == wanted
    assert Rules([Replace("$.model", "m")]).read_json(body) == {}


@pytest.mark.parametrize(
    "body", [b"", b'{"model":"up"', b'{"model":"up"}x', b'data: {"model":"up"}', b'"model"', b" 5 "]
)
def test_read_json_sees_nothing_in_what_is_no_object_or_array(body):
    rules = Rules([Capture("model", "$.model"), Capture("all", "$", keep="all")])
    assert rules.read_json(body) == {"model": None, "all": []}


def test_read_json_calls_no_function():
    def fail(value):
        raise AssertionError(value)

    rules = Rules([Transform("$.model", fail), Capture("model", "$.model")])
    assert rules.read_json(b'{"model":"up"}') == {"model": "up"}


def test_every_public_name_is_exported():
    for name in (
        "Rules",
        "Rewriter",
        "Parser",
        "Event",
        "SSEFastError",
        "FinishedError",
        "InvalidEventError",
    ):
        assert name in sse_fast.__all__
    assert all(hasattr(sse_fast, name) for name in sse_fast.__all__)
