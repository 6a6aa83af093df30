"""Running the engine over a stream in pieces, rules from their JSON form, and where recorded streams are."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import sse_fast
from sse_fast import ANY, KEEP, Rewriter

# Recorded streams, where they are present.
CORPUS = Path(os.environ.get("SSE_FAST_CORPUS", Path(__file__).resolve().parents[2].parent / "shared" / "corpus"))

STATS = ["events", "rewritten", "invalid", "dropped", "comments"]
STATS += ["bytes_in", "bytes_out", "done", "truncated", "oversize"]


def condition(form: dict) -> Any:
    if "equals" in form:
        return sse_fast.Equals(form["equals"], form["value"])
    if "exists" in form:
        return sse_fast.Exists(form["exists"])
    return sse_fast.Missing(form["missing"]) if "missing" in form else sse_fast.EventIs(form["event_is"])


def rule(form: dict) -> Any:
    """The rule object of a JSON form; a transform's form holds its function."""
    op, path = form["op"], form.get("path")
    if op == "replace":
        return sse_fast.Replace(path, form["value"], when=form.get("when", ANY))
    if op == "set":
        return sse_fast.Set(path, form["value"])
    if op == "default":
        null = form.get("null_counts_as_missing", False)
        return sse_fast.Default(path, form["value"], null_counts_as_missing=null)
    if op == "remove":
        return sse_fast.Remove(path, when=form.get("when", ANY))
    if op == "rename":
        return sse_fast.Rename(path, form["key"])
    if op == "map":
        return sse_fast.Map(path, dict(form["map"]), otherwise=form.get("otherwise", KEEP))
    if op == "transform":
        return sse_fast.Transform(path, form["function"])
    if op == "renumber":
        return sse_fast.Renumber(path, form.get("start", "first"))
    if op == "capture":
        null = form.get("null_counts_as_missing", False)
        return sse_fast.Capture(form["name"], path, keep=form.get("keep", "last"), null_counts_as_missing=null)
    assert op == "drop_event", op
    return sse_fast.DropEvent(*map(condition, form["conditions"]))


def rules(forms: Iterable[dict]) -> sse_fast.Rules:
    return sse_fast.Rules([rule(form) for form in forms])


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data in pieces, cut at the places."""
    edges = [0, *sorted(p for p in places if 0 <= p <= len(data)), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def in_sizes(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


def random_cuts(data: bytes, seed: int, mean: int = 40) -> list[bytes]:
    source = random.Random(seed)
    return cut(data, (source.randint(0, len(data)) for _ in range(max(1, len(data) // mean))))


def every_cut(data: bytes, *, two_cuts: int = 400, random_rounds: int = 20) -> Iterator[list[bytes]]:
    """Whole, byte by byte, every cut in two (sampled if long), and seeded random cuts."""
    yield [data]
    yield bytewise(data)
    places = range(1, len(data))
    if len(data) > two_cuts:
        places = random.Random(len(data)).sample(places, 60)
    yield from (cut(data, [place]) for place in places)
    yield from (random_cuts(data, seed, 12) for seed in range(random_rounds))


def through(rewriter: Rewriter, chunks: Iterable[bytes]) -> bytes:
    """All that comes out, the finish included."""
    try:
        return b"".join([*map(rewriter.feed, chunks), rewriter.finish()])
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # no Exception: Hypothesis would not shrink it
            raise AssertionError(f"the engine panicked: {error}") from error
        raise


def run(compiled: Any, chunks: bytes | Iterable[bytes], **options: Any) -> bytes:
    pieces = [chunks] if isinstance(chunks, bytes) else chunks
    return through(Rewriter(compiled, **options), pieces)


def one(payload: bytes, *forms: dict) -> bytes:
    """The payload of a single event after the rules."""
    out = run(rules(forms), b"data: " + payload + b"\n\n")
    assert out.startswith(b"data: ")
    assert out.endswith(b"\n\n")
    return out[6:-2]


def stats_of(rewriter: Rewriter) -> dict[str, Any]:
    return {name: getattr(rewriter.stats, name) for name in STATS}
