"""Loads, and what they cost.

All proxies are up; in each round they take turns, in another order each time, at the same load from the same upstream
to the same client. All streams of a turn are open before any sends its second event: what a request costs is the
processor time of a proxy's processes until then, what a chunk costs is that from then until the last stream has ended.
Medians of all rounds.
"""

import random
import statistics
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import client
from proxies import Peer, Running


@dataclass(frozen=True)
class Load:
    """So many streams at a time of so many events each, so many seconds apart."""

    name: str
    streams: int
    count: int
    pace: float

    @property
    def chunks(self) -> int:
        return self.streams * self.count

    @property
    def seconds(self) -> float:
        """That it takes at least."""
        return self.pace * self.count

    def __str__(self) -> str:
        each = f"{self.streams:,} stream{'s' * (self.streams > 1)} of {self.count:,} chunks"
        return f"{each}, {1 / self.pace:g} a second" if self.pace else f"{each}, as fast as they go"


@dataclass(frozen=True)
class Turn:
    """One proxy under one load. Times in nanoseconds, memory in bytes."""

    load: Load
    outcome: client.Outcome
    request: float
    """Processor time of each."""
    chunk: float
    memory: float
    """By how much it grew for each stream."""


class Lost(Exception):
    """Something did not arrive as it should."""


class Bench:
    """The two peers between which proxies stand."""

    def __init__(self, upstream: Peer, client: Peer) -> None:
        self.upstream = upstream
        self.client = client
        self.port = int(upstream.hear())

    def turn(self, proxy: Running, load: Load) -> Turn:
        """Put a proxy under a load. `Lost` if it loses anything."""
        plan = {"streams": load.streams, "count": load.count, "pace": load.pace}
        self.upstream.tell(plan)
        self.upstream.hear()
        start, memory = proxy.processor(), proxy.memory()
        job = client.Job(
            port=proxy.port,
            path=proxy.proxy.path,
            key=proxy.key,
            streams=load.streams,
            count=load.count,
            expectation=proxy.proxy.expectation,
        )
        self.client.tell(asdict(job))
        self.client.hear()
        opened = proxy.processor()
        with Peak(proxy.memory) as peak:
            self.client.hear()
        over = proxy.processor()
        outcome = client.Outcome.read(self.client.hear())
        self.upstream.tell(plan)
        sent = int(self.upstream.hear())
        problems = outcome.problems
        if not problems and not outcome.chunks == sent == load.chunks:
            problems = [f"{sent} events sent, {outcome.chunks} received, {load.chunks} expected"]
        if problems:
            raise Lost(f"{proxy.proxy.name}, {load}: {len(problems)} problems:\n" + "\n".join(problems[:5]))
        return Turn(
            load,
            outcome,
            request=(opened - start) / load.streams,
            chunk=(over - opened) / (load.chunks - load.streams),
            memory=(peak.value - memory) / load.streams,
        )


class Peak:
    """The highest value while the block runs."""

    def __init__(self, read: Callable[[], int]) -> None:
        self.read = read
        self.value = read()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self.over.wait(0.5):
            self.value = max(self.value, self.read())

    def __enter__(self) -> "Peak":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


Turns = dict[str, list[Turn]]


def rounds(bench: Bench, running: Sequence[Running], load: Load, count: int) -> Turns:
    """Each proxy's turns."""
    taken: Turns = {each.proxy.name: [] for each in running}
    order = random.Random(1)
    for _ in range(count):
        for each in order.sample(running, len(running)):
            taken[each.proxy.name].append(bench.turn(each, load))
    return taken


def median(turns: Sequence[Turn], read: Callable[[Turn], float]) -> float:
    return statistics.median(map(read, turns))


def cpu_ratio(mine: Sequence[Turn], others: Sequence[Turn]) -> tuple[float, float]:
    """Of what a chunk costs in the same round: the median, and half the width of the middle half."""
    ratios = [one.chunk / other.chunk for one, other in zip(mine, others, strict=True)]
    if len(ratios) < 2:
        return ratios[0], 0.0
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, (high - low) / 2


WARM_UP = Load("warm-up", 20, 50, 0.005)


def warmed(bench: Bench, running: Sequence[Running]) -> None:
    for each in running:
        for _ in range(2):
            bench.turn(each, WARM_UP)
