"""`sse-fast demo`: an upstream, the gateway and a client between them, on loopback, without a key.

| module | is |
| --- | --- |
| `upstream` | an upstream that replays the sample streams as three APIs; of use by itself, too |
| `scenarios` | for each sample a route of the gateway, a request, and what must come of it |
| `serving` | a server on a free port of loopback, in the running loop |
| `client` | asks the gateway and notes what came |
| `timeline` | when the bytes of a stream were sent, or came |
| `verdict` | sets what came beside what was sent, measures and checks |
| `output` | what is printed |
| `run` | all of it |
"""

import sys
from typing import Annotated

import typer


def demo(
    open_: Annotated[bool, typer.Option("--open", help="Go on serving afterwards, to be tried, until Ctrl-C.")] = False,
) -> int:
    """Send sample streams through a gateway and show what changes."""
    try:
        # Here, for the other commands do without it.
        from sse_fast.cli.demo.run import run
    except ModuleNotFoundError as error:
        if (error.name or "sse_fast").partition(".")[0] == "sse_fast":
            raise
        missing = f"the demo needs {error.name}, which is not installed: pip install 'sse_fast[gateway]'"
        print("sse-fast:", missing, file=sys.stderr)
        return 1
    return run(stay=open_)
