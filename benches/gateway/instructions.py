"""How many instructions a chunk costs a proxy, counted by valgrind.

Processor times differ from turn to turn by more than rewriting costs; the instructions that are run hardly do. A proxy
is run with streams of one length and with streams ten times as long: what these take more is their further chunks'.
"""

import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from proxies import Command, Place, Proxy, running
from rounds import Bench, Load

TOOL = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--quiet"]
TIMES = 10


def is_here() -> bool:
    return shutil.which(TOOL[0]) is not None


def of_a_chunk(bench: Bench, proxy: Proxy, load: Load) -> float:
    """By how many more a proxy gets with each chunk."""
    longer = replace(load, count=load.count * TIMES)
    return (_whole(bench, proxy, longer) - _whole(bench, proxy, load)) / (longer.chunks - load.chunks)


def _whole(bench: Bench, proxy: Proxy, load: Load) -> int:
    """Of its life: start, one turn, end."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        counts = directory / "counts"

        def command(place: Place) -> Command:
            assert proxy.command is not None
            arguments, environment = proxy.command(place)
            # Else sets and dictionaries are in another order each time.
            return [*TOOL, f"--cachegrind-out-file={counts}", *arguments], {**environment, "PYTHONHASHSEED": "0"}

        with running([replace(proxy, command=command)], bench.port, directory) as [each]:
            bench.turn(each, load)
        found = re.search(r"^summary: (\d+)", counts.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"valgrind has counted nothing of '{proxy.name}'")
    return int(found[1])
