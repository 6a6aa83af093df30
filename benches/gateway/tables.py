"""Figures as tables, for a terminal and for README.md."""

import importlib.metadata
import re
import subprocess
from collections.abc import Sequence

import machine
import proxies
import report
from loads import BURST, BUSY, IDLE, MANY, MODEST, ROUNDS, STEADY
from rounds import Load, Turn, Turns, cpu_ratio, median
from units import ratio, time
from upstream import REST

# The contract's targets: the processor time of rewriting over that of none, of LiteLLM over that of rewriting.
REWRITING = 1.05
LITELLM = 5.0
BEGIN, END = "<!-- gateway figures -->", "<!-- end of gateway figures -->"

Figures = dict[Load, Turns]
Counts = dict[Load, dict[str, float]]
"""The instructions of a chunk, by the proxy's name."""
COUNTED = [proxies.PLAIN, proxies.REWRITES]


def _chunk(turn: Turn) -> float:
    return turn.chunk


def _request(turn: Turn) -> float:
    return turn.request


def _p50(turn: Turn) -> float:
    return turn.outcome.p50


def _p99(turn: Turn) -> float:
    return turn.outcome.p99


def _first(turn: Turn) -> float:
    return turn.outcome.first


def _late(turn: Turn) -> float:
    return turn.outcome.seconds - REST - turn.load.seconds


def _memory(turn: Turn) -> float:
    return turn.memory / 1024


def lines(load: Load, turns: Turns) -> list[str]:
    """For a terminal: one load."""
    found = [f"\n{load}, {len(next(iter(turns.values())))} rounds"]
    for name, taken in turns.items():
        each = [
            f"{time(median(taken, _chunk))} CPU a chunk, {time(median(taken, _request))} a request",
            f"latency {time(median(taken, _p50))}, p99 {time(median(taken, _p99))}",
            f"first byte {time(median(taken, _first))}",
            f"{median(taken, _late):.2f} s late",
            f"{median(taken, _memory):.1f} KiB a stream",
        ]
        found.append(f"  {name:28} {'; '.join(each)}")
    return found


def _signed(nanoseconds: float) -> str:
    return f"{'-' if nanoseconds < 0 else '+'}{time(abs(nanoseconds))}"


def _whole(figures: Figures) -> list[str]:
    heads = [
        "CPU a chunk, 1,000 chunks a second",
        "CPU a chunk, 5,000",
        "chunks in a CPU second, 5,000",
        "the same, as fast as they go",
        "CPU a request",
        "added to a chunk, p50",
        "p99",
        "added to the first byte, of ten at once",
        "memory a stream",
        "1,000 streams end late by",
    ]
    found = [f"| | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    direct = figures[MODEST][proxies.DIRECT.name]
    for name in figures[BUSY]:
        idle, many, modest, steady, busy, burst = (figures[load][name] for load in ROUNDS)
        cells = [
            time(median(steady, _chunk)),
            time(median(busy, _chunk)),
            f"{1e9 / median(busy, _chunk):,.0f}",
            f"{1e9 / median(burst, _chunk):,.0f}",
            time(median(busy, _request)),
            *(_signed(median(modest, read) - median(direct, read)) for read in (_p50, _p99, _first)),
            f"{median(idle, _memory):.1f} KiB",
            f"{median(many, _late):.2f} s",
        ]
        found.append(f"| {name} | {' | '.join(cells)} |")
    return found


def _parts(turns: Turns) -> list[str]:
    found = ["| | CPU a chunk, 5,000 chunks a second | by the first |", "| --- | --- | --- |"]
    for name, taken in turns.items():
        factor, spread = cpu_ratio(taken, turns[proxies.BARE.name])
        found.append(f"| {name} | {time(median(taken, _chunk))} | {factor:.2f}x ±{spread:.2f} |")
    return found


def instructions(load: Load, counts: dict[str, float]) -> str:
    """What rewriting adds, as valgrind counts it."""
    plain, rewriting = (counts[each.name] for each in COUNTED)
    return (
        f"{load}, instructions: {rewriting:,.0f} a chunk with rewriting, {plain:,.0f} without rules:"
        f" {_by_target(rewriting / plain)}"
    )


def verdicts(figures: Figures, counts: Counts) -> list[str]:
    """Each target, and whether it is met."""
    found = [instructions(*each) for each in counts.items()]
    found += [f"{load}: {_rewriting(figures[load])}" for load in (STEADY, BUSY, BURST)]
    for load in (STEADY, BUSY, BURST):
        factor, spread = cpu_ratio(figures[load][proxies.LITELLM_NAME], figures[load][proxies.REWRITES.name])
        met = "at least" if factor >= LITELLM else "UNDER"
        found.append(f"{load}: LiteLLM takes {ratio(factor)} ±{spread:.1f} the CPU, {met} the target of {LITELLM:g}x")
    theirs, ours = (median(figures[IDLE][name], _memory) for name in (proxies.LITELLM_NAME, proxies.REWRITES.name))
    found.append(f"memory: LiteLLM takes {ratio(theirs / ours)} as much a stream")
    found.append(f"lost or changed in any round, {MANY.streams:,} streams at a time among them: nothing")
    return found


def _rewriting(turns: Turns) -> str:
    found = []
    for base in (proxies.PLAIN, proxies.NO_DIALECT):
        factor, spread = cpu_ratio(turns[proxies.REWRITES.name], turns[base.name])
        shown = _by_target(factor, spread) if base is proxies.PLAIN else f"{factor:.3f} ±{spread:.3f}"
        found.append(f"{shown} times '{base.name}'")
    chance, spread = cpu_ratio(turns[proxies.AGAIN.name], turns[proxies.PLAIN.name])
    return f"rewriting takes {' and '.join(found)} of CPU; 'no rules' twice differ by {chance:.3f} ±{spread:.3f}"


def _by_target(factor: float, spread: float | None = None) -> str:
    shown = f"{factor:.3f}" if spread is None else f"{factor:.3f} ±{spread:.3f}"
    return f"{shown} ({'within' if factor <= REWRITING else 'OVER'} the target of {REWRITING})"


def head() -> str:
    about = machine.description(None)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("uvicorn", "httptools", "uvloop", "aiohttp")]
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    litellm = re.search(r"^litellm==(\S+)", (proxies.HERE / "litellm.lock").read_text(), re.MULTILINE)
    assert litellm
    versions += [f"nginx {nginx.strip().rpartition('/')[2]}", f"LiteLLM {litellm[1]}"]
    python = f"{about['python']} {'with PGO' if about['pgo'] else 'without PGO'}"
    return (
        f"{about['date']}, {about['machine']}; {python}; {', '.join(versions)}; sse_fast at commit {about['commit']}."
        " Command: `python benches/gateway/run.py --write`."
    )


def markdown(figures: Figures, parts: Turns, counts: Counts) -> list[str]:
    """All of it."""
    targets = [f"- {line}" for line in verdicts(figures, counts)]
    return [head(), "", *_whole(figures), "", *targets, "", "What a proxy is made of:", "", *_parts(parts)]


def write(found: Sequence[str]) -> None:
    """Bring README.md's figures up to date."""
    block = "\n".join([BEGIN, *found, END])
    after, count = re.subn(f"{BEGIN}.*?{END}", lambda _: block, report.README.read_text(), flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"README.md has no '{BEGIN}'")
    report.README.write_text(after)
