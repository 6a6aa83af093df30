"""The demo from end to end."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeAlias

from aiohttp import ClientSession

from sse_fast.cli import show
from sse_fast.cli.demo import output
from sse_fast.cli.demo.client import ask
from sse_fast.cli.demo.scenarios import SCENARIOS, Scenario, configuration
from sse_fast.cli.demo.serving import serving
from sse_fast.cli.demo.upstream import PAUSE, Upstream, sample
from sse_fast.cli.demo.verdict import Sent, Verdict, judge
from sse_fast.gateway import create_app

Records: TypeAlias = "asyncio.Queue[dict[str, Any]]"

# Seconds. A client knows that its request is over a moment before the gateway tells of it.
_UNTIL_IT_IS_TOLD = 5.0


def run(*, scenarios: Sequence[Scenario] = SCENARIOS, pause: float = PAUSE, stay: bool = False) -> int:
    """Show all of it; the exit code. With `stay` it goes on serving where all was right."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a pipe on Windows knows neither the signs of a table nor a fox
        sys.stdout.reconfigure(errors="backslashreplace")
    return asyncio.run(_run(scenarios, pause, stay))


async def _run(scenarios: Sequence[Scenario], pause: float, stay: bool) -> int:
    console = show.console()
    upstream = Upstream(pause=pause)
    async with serving(upstream) as upstream_url:
        config = configuration(upstream_url, scenarios)
        async with serving(create_app(config)) as gateway_url, ClientSession() as session:
            with _records() as records:
                verdicts: list[Verdict] = []
                for scenario in scenarios:
                    output.title(console, scenario)
                    url, on_event = gateway_url + scenario.path, partial(output.flow, console)
                    answer = await ask(session, url, scenario.request, on_event)
                    sent = Sent(sample(scenario.sample), upstream.model, upstream.sent)
                    verdicts.append(judge(scenario, config, sent, answer, await _next(records)))
                    output.changes(console, verdicts[-1])
                output.summary(console, verdicts)
                if any(verdict.problems for verdict in verdicts):
                    return 1
                if stay:
                    output.invitation(console, gateway_url, upstream_url)
                while stay:
                    output.record(console, await records.get())
    return 0


async def _next(records: Records) -> dict[str, Any] | None:
    with suppress(TimeoutError):
        return await asyncio.wait_for(records.get(), _UNTIL_IT_IS_TOLD)
    return None


@contextmanager
def _records() -> Iterator[Records]:
    """What the gateway tells of requests meanwhile."""
    told: Records = asyncio.Queue()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.put_nowait(json.loads(record.getMessage()))

    log, handler = logging.getLogger("sse_fast.gateway.requests"), Handler()
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield told
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate
