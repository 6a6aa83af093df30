"""Small numbers of the contract: what a rewriter costs to make, what an idle stream holds, what many paths cost."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import streams
from sse_fast import Default, Remove, Rewriter, Rule, Rules
from tasks import TASKS


def _median(work: list[tuple[str, object]], rounds: int, size: int) -> dict[str, float]:
    """Medians of interleaved rounds, in nanoseconds per unit."""
    times: dict[str, list[float]] = {name: [] for name, _ in work}
    for _ in range(rounds):
        for name, run in work:
            start = time.perf_counter_ns()
            run()
            times[name].append((time.perf_counter_ns() - start) / size)
    return {name: statistics.median(values) for name, values in times.items()}


def construction() -> float:
    """Nanoseconds of `Rewriter(rules)` with compiled rules."""
    rules = Rules(TASKS["chat"].rules)

    def make() -> None:
        for _ in range(1000):
            Rewriter(rules)

    return _median([("make", make)], 200, 1000)["make"]


def idle_bytes() -> float | None:
    """Bytes of memory for each of many streams between two events, the Python object included.

    In a process of its own: here memory that the benchmarks have freed would be used again.
    """
    if not Path("/proc/self/statm").exists():
        return None
    command = [sys.executable, __file__]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _idle_bytes(count: int = 20_000) -> float:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    rules = Rules(TASKS["chat"].rules)
    events = streams.stream("chat", 8).events[:4]

    def open_stream() -> Rewriter:
        rewriter = Rewriter(rules)
        for event in events:
            rewriter.feed(event[:100])
            rewriter.feed(event[100:])
        return rewriter

    kept = [open_stream() for _ in range(1000)]  # what the process needs once
    before = resident()
    kept += [open_stream() for _ in range(count)]
    return (resident() - before) / count - 8  # the list's own pointer


def _paths(count: int) -> Rules:
    """Paths of the kinds that gateways use; no event of the stream has one of them."""
    kinds = ("$.usage.k{}", "$.choices[*].delta.k{}", "$.provider_{}.cost", "$.choices[*].k{}", "$.k{}")
    rules: list[Rule] = []
    for number in range(count):
        path = kinds[number % len(kinds)].format(number)
        rules.append(Default(f"$.usage_{number}.k", 0) if number % 10 == 9 else Remove(path))
    return Rules(rules)


def many_paths() -> tuple[float, float]:
    """Nanoseconds per event with 5 and with 100 paths, on events that none matches."""
    events = streams.nothing_matches(500).events

    def runner(rules: Rules) -> object:
        feed = Rewriter(rules).feed

        def run() -> None:
            for event in events:
                feed(event)

        return run

    times = _median([("5", runner(_paths(5))), ("100", runner(_paths(100)))], 200, len(events))
    return times["5"], times["100"]


if __name__ == "__main__":
    print(_idle_bytes())
