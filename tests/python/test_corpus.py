"""Recorded streams and conformance cases, where they are present (SSE_FAST_CORPUS or ../shared/corpus)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable

import oracle_tree
import pytest
import support
from oracle import dispatched, expected
from sse_fast import Default, Parser, Remove, Replace, Rewriter, Rules
from support import CORPUS

STREAMS = sorted((CORPUS / "sse").glob("*.sse"))
JSON_SUITE = CORPUS / "conformance" / "jsontestsuite" / "test_parsing"
EXTRA = sorted(p for p in (CORPUS / "conformance" / "json_extra").rglob("*") if p.suffix in (".json", ".txt"))

pytestmark = pytest.mark.skipif(not STREAMS, reason="no corpus: set SSE_FAST_CORPUS to its folder")

FORMS: list[dict] = [
    {"op": "replace", "path": "$..model", "value": "gateway/modèle"},
    {"op": "replace", "path": "$.modelVersion", "value": "v"},
    {"op": "remove", "path": "$.usage.cost"},
    {"op": "remove", "path": "$..system_fingerprint"},
    {"op": "remove", "path": "$.choices[*].delta.role", "when": None},
    {"op": "rename", "path": "$.choices[*].delta.reasoning_content", "key": "reasoning"},
    {"op": "default", "path": "$.choices", "value": []},
    {"op": "default", "path": "$.usage.prompt_tokens_details.cached_tokens", "value": 0},
    {"op": "set", "path": "$.provider", "value": {"name": "é"}},
    {"op": "map", "path": "$..finish_reason", "map": {"stop": "end"}},
    {"op": "map", "path": "$.type", "map": {"ping": "pong"}},
    {"op": "renumber", "path": "$.sequence_number", "start": 1000},
    {"op": "remove", "path": "$..id"},
    {"op": "capture", "name": "usage", "path": "$.usage"},
    {"op": "capture", "name": "finish", "path": "$.choices[*].finish_reason", "keep": "all"},
    {"op": "drop_event", "conditions": [{"event_is": "content_block_stop"}]},
]


@pytest.fixture(scope="module")
def forms() -> Rules:
    return support.rules(FORMS)


streams = pytest.mark.parametrize("file", STREAMS, ids=lambda file: file.stem)


@streams
def test_identity_and_chunk_invariance(file):
    stream = file.read_bytes()
    wanted = expected(stream).output
    assert wanted.startswith(stream)
    ways = [[stream], *(support.random_cuts(stream, seed) for seed in range(3))]
    if len(stream) < 20_000:
        ways.append(support.bytewise(stream))
    for chunks in ways:
        assert support.run([], chunks) == wanted


@streams
def test_rewriting_is_what_the_oracle_says(file, forms):
    stream = file.read_bytes()
    wanted = expected(stream, FORMS)
    assert wanted.exact
    for chunks in ([stream], support.random_cuts(stream, 1), support.in_sizes(stream, 1460)):
        rewriter = Rewriter(forms)
        assert support.through(rewriter, chunks) == wanted.output
        seen = support.stats_of(rewriter)
        assert {name: seen[name] for name in wanted.stats} == wanted.stats
        assert rewriter.captured == wanted.captured


@streams
def test_masks_hold_with_little_memory(file):
    stream, masks = file.read_bytes(), [*FORMS[:4], FORMS[8], FORMS[12]]
    out = support.run(support.rules(masks), support.random_cuts(stream, 2), max_held=64)
    before, after = dispatched(stream), dispatched(out)
    assert len(after) - len(before) in (0, 1)  # the last event may have been ended
    for (_, old, *_), (_, new, *_) in zip(before, after, strict=False):
        try:
            tree = oracle_tree.parse(old)
        except ValueError:
            continue
        if isinstance(tree, list):
            tree = oracle_tree.rewrite(tree, masks, {})
        assert oracle_tree.parse(new) == tree


@streams
def test_parser_dispatches_as_the_standard_does(file):
    stream = file.read_bytes()
    wanted = dispatched(stream)
    for chunks in ([stream], support.random_cuts(stream, 3)):
        assert events(chunks) == wanted


def test_recorded_chunks():
    recorded = json.loads((CORPUS / "chunk_boundaries.json").read_text())
    assert recorded
    rules = support.rules(FORMS)
    for name, lengths in recorded.items():
        stream = (CORPUS / name).read_bytes()
        places = [sum(lengths[: at + 1]) for at in range(len(lengths))]
        chunks = support.cut(stream, places)
        assert support.run([], chunks) == expected(stream).output, name
        assert support.run(rules, chunks) == expected(stream, FORMS).output, name


def test_bodies_that_are_no_event_stream_pass():
    bodies = sorted((CORPUS / "nonsse").glob("*.body"))
    assert bodies
    for file in bodies:
        body = file.read_bytes()
        assert support.run(support.rules(FORMS[:-1]), support.random_cuts(body, 4)).startswith(body), file.name


# Parser cases of the standard and of peers ------------------------------------------------------------


def events(chunks: Iterable[bytes]) -> list[tuple]:
    parser = Parser()
    return [(e.event, e.data, e.id, e.retry) for chunk in chunks for e in parser.feed(chunk)]


def cases(name: str) -> list:
    file = CORPUS / "conformance" / f"{name}.json"
    if not file.exists():
        return []
    return [pytest.param(case, id=case["name"]) for case in json.loads(file.read_text())["cases"]]


@pytest.mark.parametrize("case", cases("wpt_eventsource"))
def test_wpt(case):
    stream = base64.b64decode(case["input_b64"])
    wanted = [(event["type"], event["data"], event["id"]) for event in case["expected"]]
    assert [event[:3] for event in dispatched(stream)] == wanted
    for chunks in (
        [stream],
        support.bytewise(stream),
        *(support.random_cuts(stream, s, 9) for s in range(5)),
    ):
        assert [event[:3] for event in events(chunks)] == wanted
        assert support.run([], chunks).startswith(stream)


PEERS = ["peers_anthropic", "peers_eventsource_parser", "peers_httpx_sse", "peers_openai", "peers_sseclient"]


@pytest.mark.parametrize("case", [case for name in PEERS for case in cases(name)])
def test_peers(case):
    """The standard wins where a peer differs from it."""
    chunks = [base64.b64decode(chunk) for chunk in case["chunks_b64"]]
    stream = b"".join(chunks)
    wanted = [event[:2] for event in dispatched(stream)]
    stated = case["expected"] if case["agrees_with_whatwg"] else case.get("whatwg_expected")
    if stated is not None:
        assert [(event.get("event") or event.get("type") or "message", event["data"]) for event in stated] == wanted
    for pieces in (chunks, [stream], support.bytewise(stream) if len(stream) < 20_000 else [stream]):
        assert [event[:2] for event in events(pieces)] == wanted
        assert support.run([], pieces).startswith(stream)


@pytest.mark.parametrize("case", cases("peers_httpx_sse_lines"))
def test_peers_lines(case):
    """Lines as another library splits them, each made a data line of one event."""
    text = b"".join(base64.b64decode(chunk) for chunk in case["chunks_b64"])
    stream = re.sub(rb"\A|(?<=\n)|(?<=\r)(?!\n)", b"data:", text)
    if text[-1:] in (b"", b"\r", b"\n"):
        stream = stream[: -len(b"data:")]  # no line begins after the last ending
    else:
        stream += b"\n"
    stream += b"\r" if stream.endswith(b"\r") else b"\n"
    wanted = [case["expected_lines"]] if text else []
    for chunks in ([stream], support.bytewise(stream)):
        assert [event[1].split("\n") for event in events(chunks)] == wanted


# JSON --------------------------------------------------------------------------------------------------

ACCEPTED_BY_CONTRACT = ["n_number_NaN.json", "n_number_infinity.json", "n_number_minus_infinity.json"]


def as_block(text: bytes) -> bytes:
    """A JSON text as one event, each of its lines on a data line."""
    return b"data: " + re.sub(rb"\r\n|\r|\n", b"\ndata: ", text) + b"\n\n"


def suite(prefix: str) -> list:
    return [pytest.param(file, id=file.name) for file in sorted(JSON_SUITE.glob(f"{prefix}_*.json"))]


def invalid(text: bytes) -> int:
    """How many invalid payloads the engine sees in the text; it must pass unchanged in any case."""
    stream = as_block(text)
    rewriter = Rewriter([Remove("$..no_such_name")])
    assert support.through(rewriter, [stream]) == stream
    return rewriter.stats.invalid


@pytest.mark.parametrize("file", suite("y"))
def test_json_suite_accepts(file):
    assert invalid(file.read_bytes()) == 0


@pytest.mark.parametrize("file", suite("n"))
def test_json_suite_refuses(file):
    assert invalid(file.read_bytes()) == (file.name not in ACCEPTED_BY_CONTRACT)


@pytest.mark.parametrize("file", suite("i"))
def test_json_suite_passes_either(file):
    assert invalid(file.read_bytes()) in (0, 1)


def test_json_suite_transform_files_keep_their_bytes():
    files = sorted((JSON_SUITE.parent / "test_transform").glob("*.json"))
    assert files
    for file in files:
        keeps_its_bytes(file.read_bytes().strip(b"\n"))


def keeps_its_bytes(text: bytes) -> None:
    """The JSON text stays while a rule acts before and behind it."""
    around = [b'{"model":"up","text":', b',"model":"up"}']
    stream = as_block(text.join(around))
    rewriter = Rewriter([Replace("$.model", "m"), Default("$.z", 0)])
    wanted = as_block(text.join([around[0].replace(b"up", b"m"), b',"model":"m","z":0}']))
    assert support.through(rewriter, support.random_cuts(stream, 5)) == wanted
    assert rewriter.stats.invalid == 0


@pytest.mark.parametrize("file", EXTRA, ids=lambda file: file.name)
def test_json_extra_keeps_its_bytes(file):
    if file.suffix == ".json":
        keeps_its_bytes(file.read_bytes().strip(b"\r\n"))
        return
    for line in file.read_text(encoding="utf-8").split("\n"):
        for ascii_only in (True, False):
            keeps_its_bytes(json.dumps(line, ensure_ascii=ascii_only).encode())
