"""The shared vectors (tests/data), each under every cut, and the oracle on the same cases."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import support
from oracle import expected, loose
from sse_fast import Rewriter, Rules

DATA = Path(__file__).parent.parent / "data"
BEYOND_THE_ORACLE = {"max_held"}  # the oracle knows events within max_held only


def load() -> list:
    found = []
    for file in sorted(DATA.glob("*.json")):
        for case in json.loads(file.read_text(encoding="utf-8"))["cases"]:
            found.append(pytest.param(case, id=f"{file.stem}: {case['name']}"))
    return found


def bytes_of(case: dict, name: str) -> bytes:
    if f"{name}_b64" in case:
        return base64.b64decode(case[f"{name}_b64"])
    return case[name].encode() if name in case else bytes_of(case, "input")


@pytest.mark.parametrize("case", load())
def test_vector(case):
    data, wanted = bytes_of(case, "input"), bytes_of(case, "output")
    rules = Rules.from_json(case.get("rules", []))
    for chunks in support.every_cut(data):
        rewriter = Rewriter(rules, **case.get("options", {}))
        assert support.through(rewriter, chunks) == wanted, chunks
        for name, value in case.get("stats", {}).items():
            assert getattr(rewriter.stats, name) == value, (name, chunks)
        for name, value in case.get("captured", {}).items():
            assert rewriter.captured[name] == value, (name, chunks)


def known_to_the_oracle(case: dict) -> bool:
    return not BEYOND_THE_ORACLE & set(case.get("options", {}))


@pytest.mark.parametrize("case", [param for param in load() if known_to_the_oracle(*param.values)])
def test_vector_is_what_the_oracle_says(case):
    data, wanted = bytes_of(case, "input"), bytes_of(case, "output")
    said = expected(data, case.get("rules", []), **case.get("options", {}))
    if said.exact:
        assert said.output == wanted
    else:
        assert loose(said.output) == loose(wanted)
    known = {name: value for name, value in case.get("stats", {}).items() if name in said.stats}
    assert {name: said.stats[name] for name in known} == known
    assert {name: said.captured[name] for name in case.get("captured", {})} == case.get("captured", {})


def test_names_are_unique_in_a_file():
    for file in sorted(DATA.glob("*.json")):
        names = [case["name"] for case in json.loads(file.read_text(encoding="utf-8"))["cases"]]
        assert len(names) == len(set(names)), file.name
