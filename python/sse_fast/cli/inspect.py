"""`sse-fast inspect`: what a recorded stream holds."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from sse_fast import Rewriter, Rules
from sse_fast.cli import blocks, files, show

_ENDINGS = {b"\n": "LF", b"\r\n": "CRLF", b"\r": "CR"}


@dataclass
class Inspection:
    """What was found; sizes are bytes of payload.

    An event is a block with a `data:` line; one that the end of the stream cuts short is only `truncated`.
    """

    bytes: int = 0
    events: int = 0
    names: dict[str, int] = field(default_factory=dict)
    size_p50: int = 0
    size_p90: int = 0
    size_p99: int = 0
    size_max: int = 0
    blocks_without_data: int = 0
    comments: int = 0
    line_endings: dict[str, int] = field(default_factory=dict)
    bom: bool = False
    invalid_payloads: int = 0
    ids: int = 0
    last_event_id: str = ""
    retry: int = 0
    done: bool = False
    truncated: bool = False


def inspect(
    file: Annotated[Path, typer.Argument(help="A recorded event stream, or `-`.")],
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object, for programs.")] = False,
) -> None:
    """Say what a recorded event stream holds."""
    with files.open_source(file) as source:
        found = examine(b"".join(files.chunks(source)))
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        show.console().print(_table(found))


def examine(stream: bytes) -> Inspection:
    """Count everything in the stream: framing here, payloads by the engine."""
    engine = Rewriter(Rules([]))
    engine.feed(stream)
    engine.finish()
    read = [blocks.read(block, at) for at, block in blocks.split(stream)]
    whole = read[:-1] if engine.stats.truncated else read
    events = [block for block in whole if block.is_event]
    names = Counter(block.name for block in events)
    endings = Counter(_ENDINGS[ending] for block in read for ending in block.endings)
    sizes = sorted(len(block.payload) for block in events)
    return Inspection(
        bytes=len(stream),
        events=len(events),
        names=dict(names.most_common()),
        size_p50=percentile(sizes, 50),
        size_p90=percentile(sizes, 90),
        size_p99=percentile(sizes, 99),
        size_max=percentile(sizes, 100),
        blocks_without_data=sum(not block.is_event for block in read),
        comments=sum(len(block.comments) for block in read),
        line_endings=dict(endings.most_common()),
        bom=stream.startswith(blocks.BOM),
        invalid_payloads=engine.stats.invalid,
        ids=sum(block.ids for block in read),
        last_event_id=engine.last_event_id,
        retry=sum(block.retries for block in read),
        done=engine.stats.done,
        truncated=engine.stats.truncated,
    )


def percentile(ordered: Sequence[int], percent: int) -> int:
    """The smallest value that at least this share of the values does not exceed; 0 where there are none."""
    if not ordered:
        return 0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _table(found: Inspection) -> Table:
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in asdict(found).items():
        label = name.replace("_", " ")
        if isinstance(value, dict):
            table.add_section()
            table.add_row(label, "")
            for key, count in value.items():
                table.add_row(Text(f"  {show.printable(key)}"), f"{count:,}")
            table.add_section()
        else:
            table.add_row(label, _cell(value))
    return table


def _cell(value: int | str) -> Text:
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    return Text(f"{value:,}" if isinstance(value, int) else show.printable(value))
