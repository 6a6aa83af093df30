"""`sse-fast diff`: what the rules would change in a recorded stream, and nothing else."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from sse_fast.cli import files, options, show
from sse_fast.cli.compare import Pair, compare


def diff(
    file: Annotated[Path, typer.Argument(help="A recorded event stream, or `-`.")],
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
    """Show what the rules would change, event by event."""
    rewriter = options.rewriter_from(
        options.rules_from(rules, remove, replace, set_, default, rename),
        max_held=max_held,
        on_invalid=on_invalid,
        comments=comments,
        empty_blocks=empty_blocks,
    )
    with files.open_source(file) as source:
        stream = b"".join(files.chunks(source))
    console = show.console()
    for pair in compare(rewriter, stream):
        if pair.changes:
            _print_pair(console, pair)


def _print_pair(console: Console, pair: Pair) -> None:
    console.print(Text(pair.title if pair.new else f"{pair.title}, dropped", "bold"))
    for offset, fragment in show.fragments(pair.old, pair.new, pair.changes):
        console.print(Text(f"{pair.at + offset:>11,} ") + fragment)
