"""Two plots as SVG, readable on a light and on a dark page."""

import math
from collections.abc import Sequence
from typing import Any

from contenders import COPY, SSE_FAST
from streams import SHAPES
from units import ratio, time

Figures = dict[str, Any]
OURS, FLOOR, RIVAL = "#2f9e6e", "#8a8f98", "#6f86b5"
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #3b4048 }
.title { font-size: 16px; font-weight: 600 } .panel { font-weight: 600 } .small { font-size: 11.5px; fill: #6b717a }
.ours { font-weight: 600; fill: #1f7d55 } .grid { stroke: #9aa0a8; stroke-opacity: .28 }
@media (prefers-color-scheme: dark) {
text { fill: #d3d7dd } .small { fill: #9aa0a8 } .ours { fill: #5fd0a0 } }
</style>"""


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    attributes = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attributes}>{escaped}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="grid"/>'


def _document(width: int, height: int, parts: Sequence[str]) -> str:
    view = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {view}>\n{STYLE}\n' + "\n".join(parts) + "\n</svg>\n"


def ns_per_event(figures: Figures) -> str:
    """Bars per contender, a panel per API; the axis is logarithmic, the numbers say it in words."""
    wanted = [f"{api}, one event per chunk" for api in SHAPES]
    panels = [workload for workload in figures["workloads"] if workload["name"] in wanted]
    names = [timing["contender"] for timing in panels[0]["timings"]]
    labels, wide, high, top = 232, 196, 22, 84
    low, most = 1.0, math.log10(40_000)
    bottom = top + high * len(names)
    parts = [
        _text(8, 22, "Time per event, one event per chunk", "title"),
        _text(8, 42, f"median, logarithmic axis; 2x = twice as long as sse_fast. {_where(figures)}", "small"),
    ]
    for row, name in enumerate(names):
        kind = "ours" if name == SSE_FAST.name else ""
        parts.append(_text(labels - 8, top + high * row + 15, _called(name), kind, "end"))
    for column, panel in enumerate(panels):
        left = labels + column * (wide + 14)
        scale = (wide - 98) / (most - low)
        parts.append(
            _text(left, top - 10, f"{panel['name'].split(',')[0]}, {panel['bytes'] / panel['units']:.0f} B", "panel")
        )
        for power in range(1, 5):
            x = left + (power - low) * scale
            parts.append(_line(x, top - 2, x, bottom + 4))
            if power % 2 == 0:
                parts.append(_text(x, bottom + 18, _round(10**power), "small", "middle"))
        by_name = {timing["contender"]: timing["median"] for timing in panel["timings"]}
        for row, name in enumerate(names):
            value = by_name[name]
            width = max(1.0, (math.log10(value) - low) * scale)
            y = top + high * row
            colour = OURS if name == SSE_FAST.name else FLOOR if name == COPY.name else RIVAL
            parts.append(
                f'<rect x="{left}" y="{y + 3}" width="{width:.1f}" height="{high - 7}" rx="2" fill="{colour}"/>'
            )
            label = time(value)
            if name != SSE_FAST.name:
                label += f" · {ratio(value / by_name[SSE_FAST.name])}"
            parts.append(_text(left + width + 5, y + 15, label, "ours" if name == SSE_FAST.name else "small"))
    return _document(labels + len(panels) * (wide + 14), bottom + 30, parts)


COLOURS = {
    SSE_FAST.name: OURS,
    COPY.name: FLOOR,
    "bytes framing + orjson": "#6f86b5",
    "bytes framing + json": "#b07aa1",
    "anthropic's decoder + json": "#d0743c",
}


def time_by_size(figures: Figures) -> str:
    """Lines per contender over the size of one event; both axes logarithmic."""
    left, top, wide, high = 70, 66, 560, 340
    sizes = figures["sizes"]
    first, last = (math.log2(end["bytes"] / end["units"]) for end in (sizes[0], sizes[-1]))
    lines: dict[str, list[tuple[float, float]]] = {}
    for workload in sizes:
        for timing in workload["timings"]:
            point = (math.log2(workload["bytes"] / workload["units"]), math.log10(timing["median"]))
            lines.setdefault(timing["contender"], []).append(point)
    low = math.floor(min(y for line in lines.values() for _, y in line))
    most = math.ceil(max(y for line in lines.values() for _, y in line))

    def at(x: float, y: float) -> tuple[float, float]:
        return left + (x - first) / (last - first) * wide, top + high - (y - low) / (most - low) * high

    parts = [
        _text(8, 22, "Time for one event, by its size", "title"),
        _text(8, 42, f"in 4 KiB chunks, median, both axes logarithmic. {_where(figures)}", "small"),
    ]
    for power in range(low, most + 1):
        x, y = at(first, power)
        parts.append(_line(x, y, left + wide, y))
        parts.append(_text(x - 8, y + 4, _round(10**power), "small", "end"))
    for shift in range(math.ceil(first), math.floor(last) + 1, 3):
        x, y = at(shift, low)
        parts.append(_line(x, top, x, y))
        parts.append(_text(x, y + 18, _bytes(1 << shift), "small", "middle"))
    ends = []
    for name, line in lines.items():
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in line))
        width = 3 if name == SSE_FAST.name else 2
        colour = COLOURS[name]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        ends.append([*at(*line[-1]), name])
    below = -math.inf
    for x, y, name in sorted(ends, key=lambda end: end[1]):
        below = max(y, below + 17) if x > left + wide - 1 else y
        note = " (quadratic)" if name.startswith("anthropic") else ""
        parts.append(_text(x + 8, below + 4, _called(name) + note, "ours" if name == SSE_FAST.name else ""))
    return _document(left + wide + 230, top + high + 32, parts)


def _called(name: str) -> str:
    return f"{name} (the floor)" if name == COPY.name else name


def _round(nanoseconds: float) -> str:
    return time(nanoseconds).replace(".00", "").replace(".0", "")


def _bytes(size: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size} {unit}"
        size //= 1024
    return f"{size} GiB"


def _where(figures: Figures) -> str:
    about = figures["machine"]
    return f"{about['python']} {'with' if about['pgo'] else 'without'} PGO, {about['date']}"
