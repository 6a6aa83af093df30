"""`sse-fast rewrite`: an event stream in, the rewritten event stream out, event by event."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from sse_fast import InvalidEventError, Rewriter
from sse_fast.cli import files, options

_COUNTS = ("events", "rewritten", "invalid", "dropped", "comments", "oversize", "bytes_in", "bytes_out")
_FLAGS = ("done", "truncated")


def rewrite(
    file: Annotated[Path | None, typer.Argument(help="An event stream; standard input if missing.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here, not to stdout."),
    ] = None,
    stats: Annotated[bool, typer.Option("--stats", help="Counts and captures, as JSON on stderr.")] = False,
    rules: options.RulesFile = None,
    remove: options.RemoveOption = None,
    replace: options.ReplaceOption = None,
    set_: options.SetOption = None,
    default: options.DefaultOption = None,
    rename: options.RenameOption = None,
    max_held: options.MaxHeldOption = 1 << 20,
    on_invalid: options.OnInvalidOption = options.OnInvalid.PASS,
    comments: options.CommentsOption = "keep",
    empty_blocks: options.EmptyBlocksOption = options.EmptyBlocks.KEEP,
) -> None:
    """Rewrite an event stream while it passes."""
    rewriter = options.rewriter_from(
        options.rules_from(rules, remove, replace, set_, default, rename),
        max_held=max_held,
        on_invalid=on_invalid,
        comments=comments,
        empty_blocks=empty_blocks,
    )
    with files.open_source(file) as source:
        if files.is_same_file(source, output):
            raise options.UsageError("the output is the input file")
        with files.open_sink(output) as sink, _chunks(source, sink) as chunks:
            _pump(chunks, rewriter, sink)
    if stats:
        print(_stats_line(rewriter), file=sys.stderr)


def _pump(chunks: Iterable[bytes], rewriter: Rewriter, sink: int) -> None:
    try:
        for chunk in chunks:
            files.write_all(sink, rewriter.feed(chunk))
        files.write_all(sink, rewriter.finish())
    except InvalidEventError as error:
        files.write_all(sink, error.output)  # the events before the invalid one
        raise


@contextmanager
def _chunks(source: int, sink: int) -> Iterator[Iterable[bytes]]:
    """The chunks of the source; a file's, on a terminal that shows nothing else, with a progress bar."""
    size = files.size_of(source)
    if size is None or not os.isatty(sys.stderr.fileno()) or os.isatty(sink):
        yield files.chunks(source)
        return
    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=size)

        def watched() -> Iterator[bytes]:
            for chunk in files.chunks(source):
                yield chunk
                progress.advance(task, len(chunk))

        yield watched()


def _stats_line(rewriter: Rewriter) -> str:
    report = {name: getattr(rewriter.stats, name) for name in _COUNTS + _FLAGS}
    if rewriter.captured:
        report["captured"] = rewriter.captured
    return json.dumps(report, ensure_ascii=False)
