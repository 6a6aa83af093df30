"""What the demo prints. The same lines whether a terminal reads them or not; colours on a terminal only."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sse_fast import Event
from sse_fast.cli import show
from sse_fast.cli.compare import Pair
from sse_fast.cli.demo.scenarios import ALIAS, SCENARIOS, Scenario
from sse_fast.cli.demo.verdict import Verdict

_LARGE = 1 << 20


def title(console: Console, scenario: Scenario) -> None:
    """What the gateway was told, and what it is asked."""
    console.print(Text(scenario.sample, "bold"))
    for line in scenario.settings.splitlines():
        console.print(Text(f"  {line}", show.QUIET))
    console.print(Text(f"POST {scenario.path} {json.dumps(scenario.request)}"))


def flow(console: Console, event: Event) -> None:
    """An event as it comes: its text, else what it is."""
    payload = json.loads(event.data) if event.data.startswith("{") else event.data
    text = _text(payload)
    console.print(Text(show.printable(text)) if text is not None else Text(_kind_of(event, payload), "dim"), end="")


def _text(payload: Any) -> str | None:
    match payload:
        case {"choices": [{"delta": {"content": str(text)}}, *_]}:
            return text
        case {"delta": {"text": str(text)} | {"partial_json": str(text)} | str(text)}:
            return text
    return None


def _kind_of(event: Event, payload: Any) -> str:
    kind = payload.get("type", "usage") if isinstance(payload, dict) else payload
    size = f", {len(event.data):,} characters" if len(event.data) > _LARGE else ""
    return f"‹{show.printable(kind)}{size}›"


def changes(console: Console, verdict: Verdict) -> None:
    """What was changed on the way, and what the gateway tells of it."""
    console.print()
    for pair, alike in _kinds(verdict.changed):
        _print_pair(console, pair, alike)
    if verdict.record is not None:
        console.print(Text(json.dumps(verdict.record), show.QUIET))
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


def summary(console: Console, verdicts: Sequence[Verdict]) -> None:
    """All of it in figures, and whether it is right."""
    table = Table(title="Measured", title_justify="left")
    table.add_column("")
    for verdict in verdicts:
        table.add_column(verdict.scenario.sample, justify="right")
    rows: dict[str, Callable[[Verdict], str]] = {
        "chunks from the upstream": lambda verdict: f"{len(verdict.sent.times):,}",
        "chunks to the client": lambda verdict: f"{len(verdict.answer.came):,}",
        "events": lambda verdict: f"{verdict.events:,}",
        "blocks changed": lambda verdict: f"{len(verdict.changed):,}",
        "edits": lambda verdict: f"{verdict.edits:,}",
        "bytes": lambda verdict: f"{len(verdict.sent.stream):,}",
        "bytes untouched": lambda verdict: _percent(verdict.untouched, len(verdict.sent.stream)),
        "first byte": lambda verdict: f"{verdict.answer.first_byte * 1_000:.1f} ms",
        "an event's way, median": lambda verdict: f"{verdict.way * 1_000:.1f} ms",
        "tokens in": lambda verdict: f"{verdict.usage.get('input', 0):,}",
        "tokens out": lambda verdict: f"{verdict.usage.get('output', 0):,}",
        "cost": lambda verdict: f"{verdict.usage.get('cost', 0):g}",
    }
    for label, cell in rows.items():
        table.add_row(label, *map(cell, verdicts))
    console.print(table)
    problems = [(verdict.scenario.sample, problem) for verdict in verdicts for problem in verdict.problems]
    for sample, problem in problems:
        console.print(Text(f"WRONG: {sample}: {problem}", "bold red"))
    if not problems:
        console.print("Checked: every parsed event and all usage is as expected, and no cut made a difference.")


def _percent(part: int, whole: int) -> str:
    """Rounded down, so that 100 % means all."""
    return f"{part * 100_000 // whole / 1_000:.3f} %"


def invitation(console: Console, gateway: str, upstream: str) -> None:
    """How to try it."""
    chat = SCENARIOS[0]
    text = f"""
The gateway serves {gateway} until Ctrl-C, in front of the upstream {upstream}. Its model is {ALIAS}; any key will do.

curl -N {gateway}{chat.path} -H 'content-type: application/json' -d '{json.dumps(chat.request)}'
export OPENAI_BASE_URL={gateway}/v1 OPENAI_API_KEY=none
export ANTHROPIC_BASE_URL={gateway} ANTHROPIC_API_KEY=none
curl {gateway}/metrics
"""
    console.print(Text(text))


def record(console: Console, told: dict[str, Any]) -> None:
    """A request that somebody has tried."""
    console.print(Text(json.dumps(told)))
