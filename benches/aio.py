"""What `RewriteStream` costs a chunk over calling `feed` by hand: `python benches/aio.py --help`.

The method is that of `measure`: ways take turns in random order, each warmed up by a pass of its own, by the thread's
CPU time with the garbage collector off; medians. What a way costs is its time less that of `feed` by hand in the same
round, over the same source in the same loop.
"""

import argparse
import asyncio
import gc
import importlib.metadata
import importlib.util
import random
import re
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import machine
import report
import streams
from measure import clock
from sse_fast import Rewriter, Rules
from sse_fast.aio import RewriteStream
from tasks import TASKS
from units import ratio
from units import time as in_words

Chunks = Sequence[bytes]
Source = Callable[[Chunks], AsyncIterator[bytes]]
Take = Callable[[bytes], object]
Way = Callable[[AsyncIterator[bytes], Rewriter, Take], Awaitable[None]]
Loop = Callable[[], asyncio.AbstractEventLoop]

# The contract's targets: nanoseconds per chunk over `feed` by hand.
TARGETS = {"RewriteStream": 300, "RewriteStream, heartbeat=15": 1500}


# Sources


async def ready(chunks: Chunks) -> AsyncIterator[bytes]:
    """Has each chunk at once."""
    for chunk in chunks:
        yield chunk


async def suspending(chunks: Chunks) -> AsyncIterator[bytes]:
    """Waits a turn of the loop for each chunk."""
    loop = asyncio.get_running_loop()
    for chunk in chunks:
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn
        yield chunk


# Ways


async def by_hand(source: AsyncIterator[bytes], rewriter: Rewriter, take: Take) -> None:
    feed = rewriter.feed
    async for chunk in source:
        if out := feed(chunk):
            take(out)
    if out := rewriter.finish():
        take(out)


async def _generated(source: AsyncIterator[bytes], rewriter: Rewriter) -> AsyncIterator[bytes]:
    feed = rewriter.feed
    async for chunk in source:
        if out := feed(chunk):
            yield out
    if out := rewriter.finish():
        yield out


async def generator(source: AsyncIterator[bytes], rewriter: Rewriter, take: Take) -> None:
    """The least that any wrapper costs."""
    async for out in _generated(source, rewriter):
        take(out)


async def heartbeat_by_hand(source: AsyncIterator[bytes], rewriter: Rewriter, take: Take) -> None:
    """The usual way: a task for each chunk, so that a wait can end and the read go on."""
    feed = rewriter.feed
    while True:
        read = asyncio.ensure_future(anext(source, None))
        while not (await asyncio.wait({read}, timeout=15.0))[0]:
            take(b": keep-alive\n\n")
        chunk = read.result()
        if chunk is None:
            break
        if out := feed(chunk):
            take(out)
    if out := rewriter.finish():
        take(out)


def rewrite_stream(**options: Any) -> Way:
    async def way(source: AsyncIterator[bytes], rewriter: Rewriter, take: Take) -> None:
        async with RewriteStream(source, rewriter, **options) as stream:
            async for out in stream:
                take(out)

    return way


async def with_tap(source: AsyncIterator[bytes], rewriter: Rewriter, take: Take) -> None:
    async with RewriteStream(source, rewriter) as stream:
        tap = stream.tap()
        async for out in stream:
            take(out)
        await tap.read()


BY_HAND = "feed by hand"
WAYS: dict[str, Way] = {
    BY_HAND: by_hand,
    "an async generator around feed": generator,
    "RewriteStream": rewrite_stream(),
    "RewriteStream, a tap": with_tap,
    "RewriteStream, heartbeat=15": rewrite_stream(heartbeat=15.0),
    "RewriteStream, idle_timeout=60": rewrite_stream(idle_timeout=60.0),
    "heartbeat by hand, asyncio.wait": heartbeat_by_hand,
}


def loops() -> dict[str, Loop]:
    """Those that are installed."""
    found: dict[str, Loop] = {"asyncio": asyncio.new_event_loop}
    if importlib.util.find_spec("uvloop"):
        import uvloop

        found["uvloop"] = uvloop.new_event_loop
    return found


# Timing


@dataclass(frozen=True)
class Setting:
    """So many streams at a time in one loop, each over a source of its own."""

    loop: str
    source: Source
    streams: int
    chunks: Chunks

    @property
    def name(self) -> str:
        count = "1 stream" if self.streams == 1 else f"{self.streams} streams"
        return f"{self.source.__name__}, {count}"


@dataclass(frozen=True)
class Cost:
    """Nanoseconds per chunk: all of it, and what it is over `feed` by hand, with half the middle half's width."""

    way: str
    whole: float
    over: float
    spread: float


def settings(loop: str, count: int) -> Iterator[Setting]:
    chat = streams.stream("chat", count).events
    for source in (ready, suspending):
        yield Setting(loop, source, 1, chat)
        yield Setting(loop, source, 100, chat[: count // 2])


async def one_pass(setting: Setting, way: Way, rules: Rules, take: Take = len) -> int:
    """Nanoseconds for all streams of a setting."""
    start = clock()
    runs = [way(setting.source(setting.chunks), Rewriter(rules), take) for _ in range(setting.streams)]
    if len(runs) == 1:
        await runs[0]
    else:
        await asyncio.gather(*runs)
    return clock() - start


def costs(setting: Setting, make_loop: Loop, seconds: float) -> list[Cost]:
    """Times every way, for about so many seconds."""
    rules = Rules(TASKS["chat"].rules)
    chunks = setting.streams * len(setting.chunks)
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    order = random.Random(1)
    passes = 3 if setting.streams == 1 else 1
    until = time.monotonic() + seconds
    with asyncio.Runner(loop_factory=make_loop) as runner:
        gc.disable()
        try:
            while time.monotonic() < until or len(taken[BY_HAND]) < 3:
                for name in order.sample(list(WAYS), len(WAYS)):
                    way = WAYS[name]
                    runner.run(one_pass(setting, way, rules))
                    times = [runner.run(one_pass(setting, way, rules)) for _ in range(passes)]
                    taken[name].append(statistics.median(times) / chunks)
                gc.collect()  # between rounds: what taps have held would pile up
        finally:
            gc.enable()
    return [_cost(name, times, taken[BY_HAND]) for name, times in taken.items()]


def _cost(name: str, times: list[float], by_hand: list[float]) -> Cost:
    over = [mine - base for mine, base in zip(times, by_hand, strict=True)]
    low, median, high = statistics.quantiles(over, n=4)
    return Cost(name, statistics.median(times), median, (high - low) / 2)


# Figures


def _cell(cost: Cost, base: float) -> str:
    if cost.way == BY_HAND:
        return in_words(cost.whole)
    sign = "-" if cost.over < 0 else "+"
    return f"{sign}{in_words(abs(cost.over))} ±{in_words(cost.spread)}, {ratio(cost.whole / base)}"


def table(loop: str, results: dict[str, list[Cost]]) -> list[str]:
    """One loop's costs in Markdown."""
    lines = [f"| {loop} | {' | '.join(results)} |", f"| --- |{' --- |' * len(results)}"]
    for number, name in enumerate(WAYS):
        cells = [_cell(result[number], result[0].whole) for result in results.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def verdicts(figures: dict[str, dict[str, list[Cost]]]) -> list[str]:
    """The worst case of each target."""
    lines = []
    for name, target in TARGETS.items():
        cases = [
            (cost.over, f"{loop}, {setting}")
            for loop, results in figures.items()
            for setting, result in results.items()
            for cost in result
            if cost.way == name
        ]
        over, where = max(cases)
        kept = "within" if over <= target else "OVER"
        lines.append(f"{name}: at most +{in_words(over)} ({where}), {kept} the target of {in_words(target)}")
    return lines


def head() -> str:
    about = machine.description(None)
    versions = [f"{about['python']} {'with' if about['pgo'] else 'without'} PGO"]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in loops() if name != "asyncio"]
    return f"{about['date']}, {about['machine']}; {', '.join(versions)}; sse_fast at commit {about['commit']}."


def measured(seconds: float, count: int, only: str) -> list[str]:
    """All figures, printed as they come; as lines of Markdown."""
    lines = [head() + " Command: `python benches/aio.py --write`."]
    print(lines[0])
    figures: dict[str, dict[str, list[Cost]]] = {}
    for loop, make_loop in loops().items():
        chosen = [setting for setting in settings(loop, count) if only in f"{loop}, {setting.name}"]
        if chosen:
            figures[loop] = {setting.name: costs(setting, make_loop, seconds) for setting in chosen}
            lines += ["", *table(loop, figures[loop])]
            print("", *table(loop, figures[loop]), sep="\n", flush=True)
    lines += ["", *(f"- {line}" for line in verdicts(figures))]
    print("", *verdicts(figures), sep="\n")
    return lines


def write(lines: list[str]) -> None:
    """Bring README.md's figures of this kind of interpreter up to date."""
    kind = "with PGO" if machine.pgo() else "without PGO"
    begin, end = f"<!-- aio figures {kind} -->", f"<!-- end of aio figures {kind} -->"
    block = "\n".join([begin, *lines, end])
    before = report.README.read_text()
    after, count = re.subn(f"{begin}.*?{end}", lambda _: block, before, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"README.md has no '{begin}'")
    report.README.write_text(after)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few chunks, short: shows that it works")
    parser.add_argument("--only", default="", metavar="TEXT", help="the settings with this in their name")
    parser.add_argument("--seconds", type=float, help="for each setting")
    parser.add_argument("--write", action="store_true", help="bring README.md up to date")
    given = parser.parse_args()
    if given.write and given.only:
        parser.error("--write takes all settings: leave --only out")
    lines = measured(given.seconds or (1 if given.quick else 20), 200 if given.quick else streams.EVENTS, given.only)
    if given.write:
        write(lines)


if __name__ == "__main__":
    main()
