"""What is told of a request: a line in the log and numbers for Prometheus."""

import json
import logging
import os
import time
from dataclasses import asdict
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from sse_fast import RefusalError
from sse_fast.aio import UpstreamResponse
from sse_fast.dialects import Dialect, api_for_path
from sse_fast.gateway.request import Request

log = logging.getLogger("sse_fast.gateway.requests")
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
KINDS = ("input", "output", "cached", "reasoning")


class Metrics:
    """The numbers of one process, or of all workers where ``PROMETHEUS_MULTIPROC_DIR`` names their directory."""

    def __init__(self) -> None:
        to = self._registry = CollectorRegistry()
        self.requests = Counter("sse_fast_requests", "Requests.", ["route", "status", "outcome"], registry=to)
        self.tokens = Counter("sse_fast_tokens", "As upstreams say.", ["route", "model", "kind"], registry=to)
        self.failures = Counter("sse_fast_upstream_failures", "By why.", ["route", "upstream", "reason"], registry=to)
        self.first_byte, self.duration = (
            Histogram(f"sse_fast_{name}_seconds", what, ["route"], buckets=SECONDS, registry=to)
            for name, what in (("first_byte", "Until the body begins."), ("duration", "Until it ends."))
        )
        self.streams = Gauge("sse_fast_streams", "Event streams now.", registry=to, multiprocess_mode="livesum")

    def text(self) -> bytes:
        """As Prometheus reads them."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class Record:
    """One request: no secret, no content, no query."""

    def __init__(self, id: str, route: str, dialect: Dialect | None, path: str) -> None:
        self.id, self.route, self.dialect = id, route, dialect
        self.api = dialect or api_for_path(path)  # whose keys and errors it has, whatever its answers are
        self.model: str | None = None
        self.label = "other"  # of the model, where the configuration knows it: labels must be few
        self.streams = False
        self.upstream: str | None = None
        self.upstream_model: str | None = None
        self.attempts = self.bytes_out = 0
        self.outcome = "cancelled"
        self.usage: dict[str, float] = {}
        self.first_byte: float | None = None
        self._time, self._start = datetime.now(UTC), time.perf_counter()

    def asks(self, request: Request) -> None:
        """What the client asks for."""
        model = request.asked.model
        self.model, self.streams = model and model[:200], request.asked.streams
        self.label = model if model in request.route.aliases else "other"

    def answered(self, answer: UpstreamResponse) -> None:
        """What came of the answer, and what the upstream says that it has used."""
        report, api = answer.stream.report, self.api
        self.outcome = report.outcome or "cancelled"
        if isinstance(report.error, RefusalError):
            self.outcome = "refused"  # by the gateway: it is no fault of the upstream
        elif self.outcome == "completed" and api.has_failed(report):
            self.outcome = "upstream_error"
        if answer.kind == "other":
            return
        is_json = answer.kind == "json"
        usage = api.body_usage(answer.body) if is_json else api.usage(report)
        model = api.body_model(answer.body) if is_json else report.captured.get("model")
        self.usage = {name: count for name, count in asdict(usage).items() if count is not None}
        self.upstream_model = model[:200] if isinstance(model, str) else None

    def sent(self, data: bytes) -> None:
        """A part of the body has left."""
        if self.first_byte is None and data:
            self.first_byte = time.perf_counter() - self._start
        self.bytes_out += len(data)

    def tell(self, metrics: Metrics, status: int | None) -> None:
        """The request is over; ``status`` is that of the head that was sent, if one was."""
        duration = time.perf_counter() - self._start
        # 499 is nginx's word for a client that left before there was one; 500 is what the server sends.
        status = status or (500 if self.outcome == "failed" else 499)
        metrics.requests.labels(self.route, status, self.outcome).inc()
        metrics.duration.labels(self.route).observe(duration)
        if self.first_byte is not None:
            metrics.first_byte.labels(self.route).observe(self.first_byte)
        for kind in KINDS:
            metrics.tokens.labels(self.route, self.label, kind).inc(max(0, self.usage.get(kind, 0)))
        line = {
            **{"time": self._time.isoformat(timespec="milliseconds"), "id": self.id, "route": self.route},
            **{"dialect": self.dialect and self.dialect.name, "model": self.model, "upstream": self.upstream},
            **{"upstream_model": self.upstream_model, "stream": self.streams, "status": status},
            **{"outcome": self.outcome, "usage": self.usage, "attempts": self.attempts},
            "first_byte_ms": None if self.first_byte is None else round(self.first_byte * 1000, 1),
            **{"duration_ms": round(duration * 1000, 1), "bytes_out": self.bytes_out},
        }
        log.info(json.dumps(line))
