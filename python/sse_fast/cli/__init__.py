"""The commands: `sse-fast rewrite`, `diff` and `inspect`, which need the extra `sse_fast[cli]`, and `demo` and
`gateway`, which need `sse_fast[gateway]`.

This file decides how a command ends, in one place for all of them: exit code 0, 1 (it failed), 2 (it was
called wrongly), 130 (Ctrl-C) or 141 (the reader of our output went away). A failure gives one line on stderr,
never a traceback.
"""

import os
import sys

__all__ = ["main"]

FAILED = 1
INTERRUPTED = 128 + 2  # SIGINT
BROKEN_PIPE = 128 + 13  # SIGPIPE


def main() -> None:
    """Run the command that `sys.argv` names and exit the process."""
    if sys.stderr is None:  # closed by the caller: `2>&-`
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    try:
        code = _run(sys.argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    except SystemExit as stop:
        # typer and rich answer a broken pipe with `SystemExit(1)`; the pipe is still the reason.
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        code = BROKEN_PIPE
    if code == BROKEN_PIPE:
        _forget_output()
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    try:
        from sse_fast.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        print("sse-fast: the commands need the extra: pip install 'sse_fast[cli]'", file=sys.stderr)
        return FAILED
    return run(arguments)


def _forget_output() -> None:
    """Give what is still buffered a place to go, or the interpreter's own last flush would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
