"""`sse-fast demo`: three sample streams in awkward chunks, before and after, and what was measured."""

import re
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sse_fast import samples
from sse_fast.cli import show
from sse_fast.cli.compare import Pair
from sse_fast.cli.replay import Replay, replay
from sse_fast.cli.scenarios import SCENARIOS

_LARGE = 1 << 20


def demo() -> int:
    """Replay three sample streams and show what changes."""
    console = show.console()
    replays = []
    for scenario in SCENARIOS:
        measured = replay(scenario, samples.load(scenario.sample))
        _print_replay(console, measured)
        replays.append(measured)
    console.print(_summary(replays))
    return _print_verdict(console, replays)


def _print_replay(console: Console, measured: Replay) -> None:
    console.print(Text(measured.scenario.sample, "bold"))
    for rule in measured.scenario.rules:
        console.print(Text(f"  {rule!r}", show.QUIET))
    for pair, alike in _kinds(measured.changed):
        _print_pair(console, pair, alike)
    console.print()


def _kinds(pairs: Iterable[Pair]) -> Iterable[tuple[Pair, int]]:
    """One pair of each kind, with the number of further ones."""
    kinds: dict[tuple[bytes, ...], list[Pair]] = {}
    for pair in pairs:
        kinds.setdefault(_kind(pair), []).append(pair)
    for alike in kinds.values():
        yield alike[0], len(alike) - 1


def _kind(pair: Pair) -> tuple[bytes, ...]:
    """Equal for blocks whose edits differ in their digits at most; the image is a kind of its own."""
    fragments = [b"large" if len(pair.old) > _LARGE else b"small"]
    for change in pair.changes:
        fragments += pair.old[change.start : change.end], pair.new[change.new_start : change.new_end]
    return tuple(re.sub(rb"\d+", b"0", fragment) for fragment in fragments)


def _print_pair(console: Console, pair: Pair, alike: int) -> None:
    console.print(Text(f"{pair.title} (and {alike} more like it)" if alike else pair.title))
    before, after = show.before_and_after(pair.old, pair.new, pair.changes)
    console.print(Text("  ") + before)
    console.print(Text("  ") + (after if pair.new else Text("dropped", show.NEW)))


def _summary(replays: Sequence[Replay]) -> Table:
    table = Table(title="Measured", title_justify="left")
    table.add_column("")
    for measured in replays:
        table.add_column(measured.scenario.sample, justify="right")
    rows: dict[str, Callable[[Replay], str]] = {
        "events": lambda measured: f"{measured.events:,}",
        "blocks changed": lambda measured: f"{len(measured.changed):,}",
        "edits": lambda measured: f"{measured.edits:,}",
        "bytes in": lambda measured: f"{measured.bytes_in:,}",
        "bytes untouched": lambda measured: _percent(measured.bytes_in - measured.touched, measured.bytes_in),
        "most bytes held at once": lambda measured: f"{measured.largest_held:,}",
        "chunks fed": lambda measured: f"{measured.chunks:,}",
        "time": lambda measured: f"{measured.seconds * 1_000:.2f} ms",
    }
    for label, cell in rows.items():
        table.add_row(label, *map(cell, replays))
    return table


def _percent(part: int, whole: int) -> str:
    """Rounded down, so that 100 % means all."""
    return f"{part * 100_000 // whole / 1_000:.3f} %"


def _print_verdict(console: Console, replays: Sequence[Replay]) -> int:
    problems = [(measured.scenario.sample, problem) for measured in replays for problem in measured.problems]
    for sample, problem in problems:
        console.print(Text(f"WRONG: {sample}: {problem}", "bold red"))
    if not problems:
        console.print("Checked: every parsed event is as expected, and no cut made a difference.")
    return 1 if problems else 0
