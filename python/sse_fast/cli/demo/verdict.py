"""Sets what a client got beside what the upstream sent: what changed, and whether all of it is right.

Three ways to the same output must agree: what came through the sockets, what a rewriter makes of the stream block by
block, and what the scenario expects of its parsed events.
"""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sse_fast import Parser
from sse_fast.cli import blocks
from sse_fast.cli.compare import Pair, compare
from sse_fast.cli.demo.client import Answer
from sse_fast.cli.demo.scenarios import ALIAS, Events, Scenario
from sse_fast.cli.demo.timeline import Timeline
from sse_fast.gateway import Config
from sse_fast.gateway.routes import Route, find


@dataclass(frozen=True)
class Sent:
    """What the upstream did."""

    stream: bytes
    model: Any
    """What it was asked for."""
    times: Timeline


@dataclass(frozen=True)
class Verdict:
    """What one request came to."""

    scenario: Scenario
    sent: Sent
    answer: Answer
    record: dict[str, Any] | None
    """What the gateway told of it."""
    pairs: Sequence[Pair]
    problems: Sequence[str]
    """All that is not as it must be."""

    @property
    def changed(self) -> list[Pair]:
        """The blocks that did not come out as they went in."""
        return [pair for pair in self.pairs if pair.changes]

    @property
    def events(self) -> int:
        """How many the client got."""
        return len(_events(self.answer.body))

    @property
    def edits(self) -> int:
        """The edits found by comparing; two that touch count as one, a dropped block as one."""
        return sum(len(pair.changes) for pair in self.pairs)

    @property
    def untouched(self) -> int:
        """The bytes sent that came, byte for byte and in order."""
        touched = sum(change.end - change.start for pair in self.pairs for change in pair.changes)
        return len(self.sent.stream) - touched

    @property
    def usage(self) -> dict[str, float]:
        """As the gateway captured it."""
        return self.record["usage"] if self.record else {}

    @property
    def way(self) -> float:
        """Seconds from the upstream's sending the end of a block until the client had it, the median."""
        out, ways = 0, [0.0]
        for pair in self.pairs:
            out += len(pair.new)
            if pair.new and out <= len(self.answer.body):
                ways.append(self.answer.came.when(out) - self.sent.times.when(pair.at + len(pair.old)))
        return statistics.median(ways[1:] or ways)


def judge(scenario: Scenario, config: Config, sent: Sent, answer: Answer, record: dict[str, Any] | None) -> Verdict:
    """Compare and check."""
    pairs = list(_pairs(config, scenario, sent.stream))
    return Verdict(scenario, sent, answer, record, pairs, list(_problems(scenario, sent, answer, record, pairs)))


def _pairs(config: Config, scenario: Scenario, stream: bytes) -> Iterator[Pair]:
    route = find(map(Route, config.routes), scenario.path)
    assert route is not None
    dialect = route.dialect(scenario.path)
    rules, _ = route.rewriting(dialect, ALIAS)
    return compare(route.rewriter(rules, dialect), stream)


def _problems(
    scenario: Scenario, sent: Sent, answer: Answer, record: dict[str, Any] | None, pairs: Sequence[Pair]
) -> Iterator[str]:
    if answer.status != 200 or not answer.headers.get("content-type", "").startswith("text/event-stream"):
        yield f"the answer is no event stream, its status is {answer.status}"
        return
    if sent.model != scenario.model:
        yield f"the upstream was asked for the model {sent.model!r}"
    if answer.body != b"".join(pair.new for pair in pairs):
        yield "the output depends on how the stream was cut"
    if _events(answer.body) != scenario.expected(_events(sent.stream)):
        yield "the parsed output is not what the rules promise"
    if len(Parser().feed(answer.body)) != len(_events(answer.body)):
        yield "a client would not dispatch every event"
    comments = _comments(sent.stream)
    if _comments(answer.body) != [scenario.comments or comment for comment in comments]:
        yield "the comments are not as they must be"
    said = record and {name: record[name] for name in ("model", "upstream_model", "outcome", "usage")}
    if said != {"model": ALIAS, "upstream_model": scenario.model, "outcome": "completed", "usage": scenario.usage}:
        yield f"what the gateway tells of the request is not what happened: {said}"


def _events(stream: bytes) -> Events:
    events: Events = []
    for at, raw in blocks.split(stream):
        block = blocks.read(raw, at)
        if block.is_event:
            text = block.payload.decode()
            events.append((block.name, json.loads(text) if text.startswith("{") else text))
    return events


def _comments(stream: bytes) -> list[str]:
    return [comment for at, raw in blocks.split(stream) for comment in blocks.read(raw, at).comments]
