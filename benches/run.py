"""Times sse_fast against its rivals: `python benches/run.py --help`."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import facts
import machine
import report
from check import check
from contenders import Contender
from measure import timings
from node_rival import Node
from workloads import Workload, by_size, workloads

SIZES = [1 << shift for shift in range(9, 25)]


def here(workload: Workload, node: Node | None) -> list[Contender]:
    """Those whose library is installed."""
    present = [who for who in workload.contenders if (node if who.kind == "node" else who.is_here())]
    for contender in present:
        check(workload, contender, node)
    return present


def timed(workload: Workload, node: Node | None, seconds: float) -> dict[str, Any]:
    results = timings(workload, here(workload, node), node, seconds)
    sizes = {"unit": workload.unit, "units": workload.units, "bytes": len(workload.stream.body)}
    return {"name": workload.name, **sizes, "timings": [asdict(timing) for timing in results]}


def measured(quick: bool, only: str, seconds: float, sizes: bool) -> dict[str, Any]:
    """All figures, printed as they come."""
    node = Node.start()
    result: dict[str, Any] = {"machine": machine.description(Node.version() if node else None)}
    print(report.machine(result["machine"]))
    result["workloads"] = []
    for workload in workloads(quick):
        if only in workload.name:
            result["workloads"].append(timed(workload, node, seconds))
            print(report.table(result["workloads"][-1]), flush=True)
    result["sizes"] = []
    for size in SIZES if sizes else ():
        result["sizes"].append(timed(by_size(size), None, seconds / 4))
    slow, fast = facts.many_paths()
    result["facts"] = {
        "construction": facts.construction(),
        "idle_bytes": facts.idle_bytes(),
        "paths_5": slow,
        "paths_100": fast,
    }
    print(report.facts(result["facts"]))
    if node:
        node.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few events, short: shows that it works")
    parser.add_argument("--only", default="", metavar="TEXT", help="the workloads with this in their name")
    parser.add_argument("--seconds", type=float, help="for each workload")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--write", action="store_true", help="bring README.md and the plots up to date")
    given = parser.parse_args()
    seconds = given.seconds or (0.8 if given.quick else 10)
    result = measured(given.quick, given.only, seconds, given.write)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")
    if given.write:
        report.write(result)
    sys.exit(0)


if __name__ == "__main__":
    main()
