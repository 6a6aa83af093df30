"""Figures as tables, for a terminal and for README.md."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plots
from units import ratio, time

Figures = dict[str, Any]


def machine(about: Figures) -> str:
    what = f"{about['python']} {_kind(about)}; {about['versions']}; commit {about['commit']}"
    return f"{about['date']}, {about['machine']}\n{what}"


def rows(workload: Figures) -> list[tuple[str, str, str, str]]:
    """Contender, median, middle half, ratio to sse_fast."""
    ours = workload["timings"][0]["median"]
    return [
        (
            timing["contender"],
            time(timing["median"]),
            f"{time(timing['low'])} - {time(timing['high'])}",
            ratio(timing["median"] / ours),
        )
        for timing in workload["timings"]
    ]


def table(workload: Figures) -> str:
    """For a terminal."""
    size = workload["bytes"] / workload["units"]
    lines = [f"\n{workload['name']} (per {workload['unit']}, {size:,.0f} B)"]
    for name, median, spread, factor in rows(workload):
        lines.append(f"  {name:32} {median:>9} {factor:>7}   {spread}")
    return "\n".join(lines)


def facts(figures: Figures) -> str:
    idle = figures["idle_bytes"]
    factor = figures["paths_100"] / figures["paths_5"]
    return "\n".join(
        [
            f"\nRewriter(rules): {time(figures['construction'])}",
            f"an idle stream: {idle:,.0f} bytes" if idle is not None else "an idle stream: not measured here",
            f"5 paths {time(figures['paths_5'])}, 100 paths {time(figures['paths_100'])} per event: {factor:.2f}x",
        ]
    )


HERE = Path(__file__).parent
README = HERE / "README.md"


def _kind(about: Figures) -> str:
    return "with PGO" if about["pgo"] else "without PGO"


def _cell(timing: Figures, ours: float) -> str:
    spread = (timing["high"] - timing["low"]) / 2 / timing["median"]
    text = f"{time(timing['median'])} ±{spread:.0%}"
    return f"**{text}**" if timing["median"] == ours else f"{text}, {ratio(timing['median'] / ours)}"


def _matrix(workloads: Sequence[Figures], heads: Sequence[str]) -> list[str]:
    """Contenders by workloads; the floor last."""
    cells: dict[str, dict[int, str]] = {}
    for column, workload in enumerate(workloads):
        ours = workload["timings"][0]["median"]
        for timing in workload["timings"]:
            cells.setdefault(timing["contender"], {})[column] = _cell(timing, ours)
    cells["alloc + memcpy"] = cells.pop("alloc + memcpy")
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for name, row in cells.items():
        lines.append(f"| {name} | {' | '.join(row.get(column, '') for column in range(len(heads)))} |")
    return lines


def markdown(figures: Figures) -> str:
    """The tables of one interpreter."""
    by_event = [workload for workload in figures["workloads"] if workload["name"].endswith("per chunk")]
    by_event = [workload for workload in by_event if workload["unit"] == "event"]
    others = [workload for workload in figures["workloads"] if workload not in by_event]
    about = figures["machine"]
    lines = [f"{about['date']}, {about['machine']}; {about['python']} {_kind(about)}; {about['versions']};"]
    lines += [
        f"sse_fast at commit {about['commit']}. Command: `make bench`.",
        "",
        "One event per chunk, time per event:",
        "",
    ]
    heads = [f"{w['name'].split(',')[0]}, {w['bytes'] / w['units']:.0f} B" for w in by_event]
    lines += [*_matrix(by_event, heads), "", "Other cuts, time per event or per chunk:", ""]
    heads = [w["name"] if w["unit"] == "event" else f"{w['name']} (per chunk)" for w in others]
    lines += [*_matrix(others, heads), ""]
    lines += [f"- {line}" for line in facts(figures["facts"]).strip().splitlines()]
    return "\n".join(lines)


def write(figures: Figures) -> None:
    """Bring README.md's tables of this kind of interpreter up to date, and the plots by one with PGO."""
    kind = _kind(figures["machine"])
    begin, end = f"<!-- figures {kind} -->", f"<!-- end of figures {kind} -->"
    before = README.read_text()
    block = f"{begin}\n{markdown(figures)}\n{end}"
    after, count = re.subn(f"{begin}.*?{end}", lambda _: block, before, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"README.md has no '{begin}'")
    README.write_text(after)
    for name, plot in (("ns_per_event", plots.ns_per_event), ("time_by_size", plots.time_by_size)):
        file = HERE / f"{name}.svg"
        if figures["machine"]["pgo"] or not file.exists():
            file.write_text(plot(figures))
