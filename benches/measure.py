"""Timing without self-deceit.

The contenders of a workload take turns in short blocks, each time in another order, so that whatever else the
machine does meets all of them. A block runs a contender over the whole stream once to warm it up, then a few times
by the clock. Chunks are made before; no output is kept; the garbage collector is off while the clock runs and is
never called between (it would empty the caches). Medians and quartiles of all passes are reported, never the best
pass.

The clock is the thread's own CPU time: on a machine shared with others, long passes are interrupted and short ones
are not, which by the wall clock would flatter the fast.
"""

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contenders import Contender
from node_rival import Node
from workloads import Workload

PASSES = 3
CACHE = bytes(8 << 20)


@dataclass(frozen=True)
class Timing:
    """Nanoseconds per unit."""

    contender: str
    median: float
    low: float
    high: float
    passes: int


clock = time.thread_time_ns


def feed_pass(feed: Callable[[bytes], bytes], chunks: Sequence[bytes]) -> int:
    start = clock()
    for chunk in chunks:
        feed(chunk)
    return clock() - start


def pull_pass(pull: Callable[[Sequence[bytes]], Iterator[bytes]], chunks: Sequence[bytes]) -> int:
    start = clock()
    for _ in pull(chunks):
        pass
    return clock() - start


def _block(workload: Workload, contender: Contender, make: Callable[[], Any], node: Node | None) -> list[int]:
    if contender.kind == "node":
        assert node is not None
        return node.times(workload, contender.how, PASSES)
    one_pass = pull_pass if contender.kind == "pull" else feed_pass
    first = one_pass(make(), workload.chunks)
    if first > 2_000_000_000:
        return [first]
    return [one_pass(make(), workload.chunks) for _ in range(PASSES)]


def timings(workload: Workload, here: Sequence[Contender], node: Node | None, seconds: float) -> list[Timing]:
    """Times every contender that is here, for about so many seconds."""
    made = {contender: contender.prepare(workload.rules) for contender in here}
    taken: dict[Contender, list[int]] = {contender: [] for contender in here}
    order = random.Random(1)
    until = time.monotonic() + seconds
    gc.disable()
    try:
        if workload.idle:
            _cold(workload, made, taken, order, until)
        else:
            while time.monotonic() < until or len(taken[here[0]]) < 3 * PASSES:
                for contender in order.sample(here, len(here)):
                    taken[contender] += _block(workload, contender, made[contender], node)
    finally:
        gc.enable()
    units = 1 if workload.idle else workload.units
    return [_timing(contender.name, times, units) for contender, times in taken.items()]


def _cold(
    workload: Workload,
    made: dict[Contender, Callable[[], Any]],
    taken: dict[Contender, list[int]],
    order: random.Random,
    until: float,
) -> None:
    """One call at a time: sleep, read 8 MiB through the caches, feed one event by the clock."""
    feeds = {contender: make() for contender, make in made.items()}
    for at, chunk in enumerate(workload.chunks[:-3]):
        for contender in order.sample(list(feeds), len(feeds)):
            feed = feeds[contender]
            time.sleep(workload.idle / 1000)
            CACHE.count(b"x")
            start = time.perf_counter_ns()
            feed(chunk)
            spent = time.perf_counter_ns() - start
            if at > 2:  # the first events are those that a splice learns from
                taken[contender].append(spent)
        if time.monotonic() > until and at > 20:
            return


def _timing(name: str, times: list[int], units: int) -> Timing:
    low, median, high = (value / units for value in statistics.quantiles(times, n=4)) if len(times) > 1 else times * 3
    return Timing(name, median, low, high, len(times))
