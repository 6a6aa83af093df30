"""The load that `gateway/run.py` makes is whole, and what is lost of it is found."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "gateway"))

import client
import events
import instructions
import loads
import proxies
import report
import tables
from rounds import Bench, Load, Lost, Turn, cpu_ratio, rounds, warmed

COUNT = 12
PIECES = events.pieces(COUNT)
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
NOTHING_LOST = ""


def body(pieces: Sequence[tuple[bytes, bytes]] = PIECES, now: int = 5) -> bytes:
    return b"".join(events.stamped(piece, now) for piece in pieces)


def chunked(*chunks: bytes) -> bytes:
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


@pytest.mark.parametrize("expectation", ["bytes", "meaning"])
def test_when_an_event_was_sent_does_not_matter(expectation: events.Expectation) -> None:
    count, digest = events.wanted(COUNT, expectation)
    assert count == COUNT
    assert {events.digest(body(now=now), expectation) for now in (1, 2**60)} == {digest}


def without(pieces: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return pieces[:5] + pieces[6:]


def twice(pieces: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return pieces[:5] + pieces[4:]


def swapped(pieces: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [*pieces[:4], pieces[5], pieces[4], *pieces[6:]]


@pytest.mark.parametrize("spoil", [without, twice, swapped])
@pytest.mark.parametrize("expectation", ["bytes", "meaning"])
def test_what_is_lost_or_out_of_order_is_found(
    expectation: events.Expectation, spoil: Callable[[list[tuple[bytes, bytes]]], list[tuple[bytes, bytes]]]
) -> None:
    assert events.digest(body(spoil(PIECES)), expectation) != events.wanted(COUNT, expectation)[1]


def test_another_form_of_the_same_has_the_same_meaning() -> None:
    text = body().replace(b'"usage":null,', b"").replace(b'data: {"id"', b'data: { "id"')
    assert events.digest(text, "meaning") == events.wanted(COUNT, "meaning")[1]
    assert events.digest(text, "bytes") != events.wanted(COUNT, "bytes")[1]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_stream_is_read_from_any_cuts(size: int) -> None:
    sent = chunked(*(events.stamped(piece, 5) for piece in PIECES))
    reads = [(10 + at, sent[at : at + size]) for at in range(0, len(sent), size)]
    reading = client.Reading(reads)
    assert (reading.problem, reading.body) == (NOTHING_LOST, body())
    assert len(reading.latencies) == sum(bool(tail) for _, tail in PIECES) > 0
    assert all(0 < latency <= 5 + len(sent) for latency in reading.latencies)


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"", "no answer"),
        (chunked(body())[:-9], "the connection ended before the body"),
        (b"HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 503 Unavailable"),
    ],
)
def test_a_broken_stream_is_a_problem(sent: bytes, problem: str) -> None:
    assert client.Reading([(1, sent)] if sent else []).problem == problem


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with proxies.Peer("upstream.py") as upstream, proxies.Peer("client.py") as peer:
        yield Bench(upstream, peer)


@pytest.mark.parametrize("pace", [0.0, 0.001])
def test_a_turn_counts_what_passes(bench: Bench, tmp_path: Path, pace: float) -> None:
    load = Load("test", 3, COUNT, pace)
    with proxies.running([proxies.DIRECT, proxies.BARE], bench.port, tmp_path) as up:
        warmed(bench, up)
        turns = rounds(bench, up, load, 2)
    assert {name: len(taken) for name, taken in turns.items()} == {proxies.DIRECT.name: 2, proxies.BARE.name: 2}
    for turn in turns[proxies.BARE.name]:
        assert turn.outcome.chunks == 3 * COUNT
        assert 0 < turn.chunk < 1e9
        assert 0 < turn.outcome.p50 <= turn.outcome.p99 < 10e9


def test_a_turn_that_brings_something_else_is_lost(bench: Bench, tmp_path: Path) -> None:
    wrong = replace(proxies.DIRECT, expectation="rewritten")
    with proxies.running([wrong], bench.port, tmp_path) as [direct], pytest.raises(Lost, match="but not those"):
        bench.turn(direct, Load("test", 3, COUNT, 0.0))


@pytest.mark.skipif(not instructions.is_here(), reason="needs valgrind: apt-get install valgrind")
def test_instructions_are_those_of_chunks(bench: Bench) -> None:
    alone = instructions.of_a_chunk(bench, proxies.BARE, Load("test", 1, COUNT, 0.02))
    with_others = instructions.of_a_chunk(bench, proxies.BARE, Load("test", 1, COUNT, 0.0))
    assert 1e3 < with_others < alone < 1e6


def test_figures_are_written_between_their_marks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{tables.BEGIN}\n{tables.END}\nafter\n")
    monkeypatch.setattr(report, "README", readme)
    for lines in (["old"], ["new", r"\1"]):
        tables.write(lines)
    assert readme.read_text() == f"before\n{tables.BEGIN}\nnew\n\\1\n{tables.END}\nafter\n"
    readme.write_text("")
    with pytest.raises(ValueError, match=r"README\.md has no"):
        tables.write([])


def turns(load: Load, *costs: float) -> list[Turn]:
    outcome = client.Outcome(chunks=load.chunks, seconds=load.seconds + 1, first=1e6, p50=2e3, p99=3e3, problems=[])
    return [Turn(load, outcome, request=1e6, chunk=cost, memory=2048) for cost in costs]


def test_costs_are_compared_within_a_round() -> None:
    load = Load("test", 1, 2, 1.0)
    assert cpu_ratio(turns(load, 2, 20, 200), turns(load, 1, 10, 100)) == (2, 0)


@pytest.mark.parametrize(
    ("rewriting", "litellm", "words"),
    [
        (104e3, 600e3, ["1.040 ±0.000 (within", "104,000 a chunk", "of 1.05", "5.8x ±0.0 the CPU, at least"]),
        (106e3, 106e3, ["OVER", "UNDER"]),
    ],
)
def test_every_figure_has_its_place(
    monkeypatch: pytest.MonkeyPatch, rewriting: float, litellm: float, words: list[str]
) -> None:
    monkeypatch.setattr(tables, "head", lambda: "head")
    costs = {proxies.REWRITES.name: rewriting, proxies.LITELLM_NAME: litellm}
    names = [each.name for each in (proxies.DIRECT, proxies.PLAIN, proxies.AGAIN, proxies.REWRITES, proxies.NO_DIALECT)]
    figures = {
        load: {name: turns(load, *[costs.get(name, 100e3)] * 3) for name in [*names, proxies.LITELLM_NAME]}
        for load in loads.ROUNDS
    }
    for load in figures:
        if load != loads.MODEST:
            del figures[load][proxies.DIRECT.name]
    counts = {loads.COUNTED[0]: {proxies.PLAIN.name: 100e3, proxies.REWRITES.name: rewriting}}
    parts = {each.name: turns(loads.BUSY, 1, 1) for each in proxies.PARTS}
    text = "\n".join(tables.markdown(figures, parts, counts))
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| gateway", "| LiteLLM", "| | CPU"))]
    assert len(rows) == 1 + 5 + 1
    assert len({len(row) for row in rows[:-1]}) == 1
    assert all(word in text for word in words)
    assert ("OVER" in text) == (rewriting > 105e3)
