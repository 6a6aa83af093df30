"""Whether a contender did the task: its events, parsed, are the expected ones."""

import json

from contenders import Contender
from node_rival import Node
from workloads import Workload, outputs

Parsed = list[tuple[dict[str, str], object]]


def parsed(body: bytes) -> Parsed:
    """The events of a stream: their other fields, and their payloads as values (members in any order)."""
    events: Parsed = []
    for block in body.replace(b"\r\n", b"\n").removesuffix(b"\n\n").split(b"\n\n"):
        fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
        data = fields.pop("data")
        events.append((fields, data if data == "[DONE]" else json.loads(data)))
    return events


def check(workload: Workload, contender: Contender, node: Node | None = None) -> None:
    """Raise where a contender's output is not what the task makes of the stream."""
    wanted = b"".join(workload.stream.expected)
    if not contender.rewrites:
        return
    if contender.kind == "node":
        assert node is not None
        output = node.output(workload, contender.how)
    else:
        rewrite = contender.prepare(workload.rules)()
        output = b"".join(outputs(contender, rewrite, workload.chunks))
    exact = contender.name == "sse_fast"
    if output != wanted if exact else parsed(output) != parsed(wanted):
        raise AssertionError(f"{contender.name} does not do the task of '{workload.name}'")
