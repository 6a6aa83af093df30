"""What the gateway tells of each request: one line, and numbers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from live.watch import run
from prometheus_client.parser import text_string_to_metric_families

from gateway.bodies import CHAT, CHAT_BODY, CHAT_STREAM, MESSAGES, USAGE, ask, chat_chunk, event
from gateway.observed import PATIENCE, observed, route, until
from gateway.running import client, config, records, serving
from gateway.upstream import Reply, Upstream, json_reply

FIELDS = [
    *("time", "id", "route", "dialect", "model", "upstream", "upstream_model", "stream", "status", "outcome", "usage"),
    *("attempts", "first_byte_ms", "duration_ms", "bytes_out"),
]
USED = {"input": 3, "output": 4, "total": 7, "cost": 6e-07}


def told(*replies: Reply, path: str = CHAT, route: Any = None, **request: Any) -> tuple[dict[str, Any], Metrics]:
    """The record of one request and the metrics after it."""

    async def scenario() -> tuple[dict[str, Any], Metrics]:
        async with Upstream() as upstream:
            upstream.will(*replies)
            with records() as lines:
                settings = config(upstream.url, route={"models": {"fast": "real-1"}, "name": "main", **(route or {})})
                async with serving(settings) as url, client(url) as http:
                    await http.post(path, **request)
                    await lines.of(1)
                    metrics = (await http.get("/metrics")).text
            (line,) = lines
            return line, Metrics(metrics)

    return run(scenario())


class Metrics:
    """Looks samples up by their name and the values of their labels: ``metrics["name", "label", "label"]``."""

    def __init__(self, text: str) -> None:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        self._values = {(sample.name, frozenset(sample.labels.values())): sample.value for sample in samples}

    def __getitem__(self, key: tuple[str, ...]) -> float:
        name, *labels = key
        return self._values[name, frozenset(labels)]


def test_a_stream() -> None:
    line, metrics = told(Reply(chunks=CHAT_STREAM), path=CHAT + "?secret=1", json=ask(), headers={"x-request-id": "r"})
    assert list(line) == FIELDS
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert 0 < line["first_byte_ms"] <= line["duration_ms"]
    sent = b"".join(CHAT_STREAM).replace(b"real-1", b"fast")
    expected = {
        **{"id": "r", "route": "main", "dialect": "chat_completions", "model": "fast", "upstream": "0"},
        **{"upstream_model": "real-1", "stream": True, "status": 200, "outcome": "completed", "usage": USED},
        **{"attempts": 1, "bytes_out": len(sent)},
    }
    assert {name: line[name] for name in expected} == expected
    assert metrics["sse_fast_requests_total", "main", "200", "completed"] == 1
    assert metrics["sse_fast_tokens_total", "main", "fast", "input"] == 3
    assert metrics["sse_fast_tokens_total", "main", "fast", "output"] == 4
    assert metrics["sse_fast_first_byte_seconds_count", "main"] == 1
    assert metrics["sse_fast_duration_seconds_count", "main"] == 1
    assert metrics[("sse_fast_streams",)] == 0


def test_a_json_body() -> None:
    line, metrics = told(json_reply(CHAT_BODY), json=ask("other", stream=False))
    assert (line["usage"], line["upstream_model"], line["stream"]) == (USED, "real-1", False)
    assert metrics["sse_fast_tokens_total", "main", "other", "output"] == 4


def test_no_secret_no_content_no_query() -> None:
    key = {"authorization": "Bearer sk-secret"}
    line, _ = told(json_reply(CHAT_BODY), path=CHAT + "?key=sk-secret", json=ask(), headers=key)
    text = json.dumps(line)
    for secret in ("sk-secret", "hello", "Hello", "127.0.0.1"):
        assert secret not in text


def test_what_clients_say_does_not_make_labels_or_long_lines() -> None:
    line, metrics = told(json_reply(CHAT_BODY), json=ask("m" * 5000 + '"\n'), path=CHAT)
    assert line["model"] == "m" * 200
    assert metrics["sse_fast_tokens_total", "main", "other", "input"] == 3
    for body in (b"", b"[1]", b"{", b'{"model": 7, "stream": "yes"}', b'{"model": null}'):
        line, _ = told(json_reply({}), content=body, headers={"content-type": "application/json"})
        assert (line["model"], line["stream"], line["usage"]) == (None, False, {})


def test_usage_that_nobody_should_count() -> None:
    usage = {"prompt_tokens": -5, "completion_tokens": "many", "total_tokens": 1e400}
    line, metrics = told(json_reply({"usage": usage, "model": ["x"]}), json=ask())
    assert line["upstream_model"] is None
    assert metrics["sse_fast_tokens_total", "main", "fast", "input"] == 0


def test_messages() -> None:
    chunks = [
        event({"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 5}}}, "message_start"),
        event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
        event({"type": "message_stop"}, "message_stop"),
    ]
    line, _ = told(Reply(chunks=chunks), path=MESSAGES, json=ask())
    assert (line["dialect"], line["upstream_model"], line["outcome"]) == ("messages", "claude", "completed")
    assert line["usage"] == {"input": 5, "output": 9, "total": 14}


def test_what_no_dialect_knows() -> None:
    body = {"model": "real-1", "data": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    line, metrics = told(json_reply(body), path="/v1/embeddings", json=ask())
    assert (line["dialect"], line["model"], line["upstream_model"]) == (None, "fast", "real-1")
    assert line["usage"] == {"input": 3, "total": 3}
    assert metrics["sse_fast_tokens_total", "main", "fast", "input"] == 3


def test_a_response_that_failed() -> None:
    failed = event({"type": "response.failed", "response": {"status": "failed", "error": {"code": "x"}}})
    line, _ = told(Reply(chunks=[failed]), path="/v1/responses", json=ask())
    assert (line["status"], line["outcome"]) == (200, "upstream_error")


def test_a_broken_stream() -> None:
    line, metrics = told(Reply(chunks=[chat_chunk("Hel"), 0.05], end="rst"), json=ask())
    assert (line["status"], line["outcome"]) == (200, "upstream_error")
    assert metrics["sse_fast_requests_total", "main", "200", "upstream_error"] == 1


def test_a_request_without_a_route_or_an_upstream() -> None:
    line, metrics = told(json_reply({}), route={"path": "/elsewhere"}, json=ask())
    assert (line["route"], line["upstream"], line["status"], line["outcome"]) == ("none", None, 404, "refused")
    assert metrics["sse_fast_requests_total", "none", "404", "refused"] == 1


def test_upstreams_that_fail_are_counted() -> None:
    async def scenario() -> None:
        async with Upstream() as first, Upstream() as second:
            first.will(json_reply({}, status=503))
            second.will(json_reply({}, status=529))
            upstreams = [{"url": first.url, "name": "first"}, {"url": second.url}]
            with records() as lines:
                async with serving(config(route={"upstreams": upstreams})) as url, client() as http:
                    await http.post(url + CHAT, json=ask())
                    await lines.of(1)
                    metrics = Metrics((await http.get(url + "/metrics")).text)
            assert metrics["sse_fast_upstream_failures_total", "/", "first", "status"] == 1
            assert metrics["sse_fast_upstream_failures_total", "/", "1", "status"] == 1
            assert (lines[0]["attempts"], lines[0]["upstream"]) == (2, "1")

    run(scenario())


def test_streams_in_progress() -> None:
    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(Reply(chunks=[chat_chunk("Hel")], end="hang"))
            async with serving(config(upstream.url)) as url, client() as http:
                async with http.stream("POST", url + CHAT, json=ask()):
                    assert Metrics((await http.get(url + "/metrics")).text)[("sse_fast_streams",)] == 1
                async with asyncio.timeout(10):
                    while Metrics((await http.get(url + "/metrics")).text)[("sse_fast_streams",)]:
                        await asyncio.sleep(0.01)

    run(scenario())


def test_the_streams_of_a_worker_that_died_are_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(Reply(chunks=[chat_chunk("Hel")], end="hang"))
            async with observed(tmp_path, route("/v1", upstream.url), workers=2) as gateway, client() as http:
                url = f"http://127.0.0.1:{gateway.port}"
                async with http.stream("POST", url + CHAT, json=ask()) as response:
                    pieces = response.aiter_raw()
                    await anext(pieces)
                    assert Metrics((await http.get(url + "/metrics")).text)[("sse_fast_streams",)] == 1
                    for pid in gateway.workers:
                        os.kill(pid, signal.SIGKILL)
                    with pytest.raises(httpx.TransportError):
                        await anext(pieces)
                await until(gateway.is_ready)

                async def is_over() -> bool:
                    return Metrics((await http.get(url + "/metrics")).text)[("sse_fast_streams",)] == 0

                async with asyncio.timeout(PATIENCE):
                    while not await is_over():
                        await asyncio.sleep(0.1)

    run(scenario())


def test_an_empty_name_of_the_directory_for_metrics_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.chdir(tmp_path)

    async def scenario() -> None:
        async with observed(tmp_path, route("/v1", "http://a"), workers=2) as gateway, client() as http:
            assert (await http.get(f"http://127.0.0.1:{gateway.port}/metrics")).status_code == 200

    run(scenario())
    assert [file.name for file in tmp_path.iterdir()] == ["gateway.toml"]


def test_usage_is_the_same_whatever_is_hidden() -> None:
    route = {"strip_cost": True, "drop_usage_chunk": True}
    line, _ = told(Reply(chunks=CHAT_STREAM), route=route, json=ask())
    assert line["usage"] == USED
    assert line["bytes_out"] < len(b"".join(CHAT_STREAM)) - len(json.dumps(USAGE))
