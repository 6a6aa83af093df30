"""Wires the commands into one typer app and turns their errors into a line and an exit code."""

import sys

import typer

from sse_fast import InvalidEventError, RuleError
from sse_fast.cli.demo import demo
from sse_fast.cli.diff import diff
from sse_fast.cli.gateway import gateway
from sse_fast.cli.inspect import inspect
from sse_fast.cli.options import UsageError
from sse_fast.cli.rewrite import rewrite

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Rewrites JSON fields inside LLM event streams and touches nothing else.",
)
for command in (rewrite, diff, inspect, demo, gateway):
    app.command()(command)

# typer's usage error (an unknown option, a missing argument), whichever module this release keeps it in.
_TyperUsageError: type[typer.BadParameter] = typer.BadParameter.__bases__[0]


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; a broken pipe is left to the caller."""
    if sys.stdout is None:
        return _complain("standard output is closed", 1)
    try:
        code = app(arguments or ["--help"], prog_name="sse-fast", standalone_mode=False)
    except _TyperUsageError as error:
        return _complain(error.format_message(), 2)
    except (UsageError, RuleError) as error:
        return _complain(str(error), 2)
    except InvalidEventError as error:
        return _complain(str(error), 1)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror), 1)
    return code or 0


def _complain(message: str, code: int) -> int:
    print("sse-fast:", " ".join(message.split()), file=sys.stderr)
    return code
