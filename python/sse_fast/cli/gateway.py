"""`sse-fast gateway`: the reverse proxy that a configuration describes. It needs the extra `sse_fast[gateway]`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def gateway(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="The configuration, as TOML.")],
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, metavar="N", help="Processes, instead of what the file says.")
    ] = None,
) -> None:
    """Serve a reverse proxy for the APIs of language models."""
    try:
        # Here, for the other commands do without it.
        from sse_fast.gateway import ConfigError, load, serve
    except ModuleNotFoundError as error:
        if "sse_fast[gateway]" not in str(error):
            raise
        raise _failure(str(error), 1) from error
    try:
        settings = load(config)
    except ConfigError as error:
        raise _failure(str(error), 2) from error
    serve(settings if workers is None else settings.model_copy(update={"workers": workers}))


def _failure(problems: str, code: int) -> typer.Exit:
    for problem in problems.splitlines():
        print("sse-fast:", problem, file=sys.stderr)
    return typer.Exit(code)
