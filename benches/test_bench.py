"""The main workloads for pytest-benchmark, to compare two builds: `pytest benches/test_bench.py --benchmark-compare`.

`run.py` is what compares contenders: here they do not take turns.
"""

from collections.abc import Callable
from typing import Any

import pytest
import streams
from check import check
from contenders import COPY, ORJSON, SSE_FAST, Contender
from measure import feed_pass
from workloads import KIB, Workload, by_size

pytest.importorskip("pytest_benchmark")


def _workload(name: str) -> Workload:
    if name == "256 KiB event":
        return by_size(256 * KIB)
    stream = streams.mixed() if name == "mixed" else streams.stream(name)
    return Workload(name, stream, stream.events, stream.api, ())


@pytest.mark.parametrize("name", ["chat", "messages", "responses", "gemini", "mixed", "256 KiB event"])
@pytest.mark.parametrize("contender", [SSE_FAST, ORJSON, COPY], ids=lambda contender: contender.name)
def test_feed(benchmark: Callable[..., Any], contender: Contender, name: str) -> None:
    if not contender.is_here():
        pytest.skip(f"{contender.needs} is not installed")
    workload = _workload(name)
    check(workload, contender)
    make = contender.prepare(workload.rules)
    benchmark.pedantic(feed_pass, setup=lambda: ((make(), workload.chunks), {}), rounds=20, warmup_rounds=2)
