"""Keys and contents never come out, and labels never grow, whatever clients and upstreams say."""

from __future__ import annotations

import re
from pathlib import Path

from live.watch import run

from gateway.attacks.raw import LAST, Bare, post, say, statuses
from gateway.attacks.witness import attacked
from gateway.observed import Observed
from gateway.upstream import Upstream, json_reply

SECRETS = ["sk-gateway", "sk-bearer", "sk-header", "sk-goog", "sk-query", "sk-cookie", "sk-content", "sk-answer"]
HEADERS = ["authorization: Bearer sk-bearer", "x-api-key: sk-header", "x-goog-api-key: sk-goog", "cookie: k=sk-cookie"]
BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"sk-content"}]}'
HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: "
ANSWERS = {
    "a stream": HEAD + b'text/event-stream\r\n\r\ndata: {"model":"m","choices":[{"text":"sk-answer"}]}\n\n',
    "a broken stream": HEAD + b"text/event-stream\r\ncontent-length: 99\r\n\r\ndata: sk-answer\n\n",
    "JSON": HEAD + b'application/json\r\n\r\n{"text":"sk-answer"}',
    "a bad header": HEAD + b"text/plain\r\nx: sk-answer\x01\r\n\r\n",
    "no HTTP": b"sk-answer\r\n\r\n",
    "a bad coding": HEAD + b"application/json\r\ncontent-encoding: sk-answer\r\n\r\n{}",
    "a status": HEAD.replace(b"200", b"503") + b'application/json\r\n\r\n{"error":"sk-answer"}',
    "nothing": b"",
}
METRICS = LAST.replace(b"/healthz", b"/metrics")


def test_secrets_are_told_to_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Bare() as upstream:
            keyed = {"path": "/v1", "upstreams": [{"url": upstream.url, "api_key_env": "KEY"}]}
            open_ = {"path": "/open", "upstreams": [{"url": upstream.url}, {"url": "http://127.0.0.1:9"}]}
            own = []
            async with attacked(tmp_path, keyed, open_, environment={"KEY": "sk-gateway"}) as gateway:
                for upstream.answer in ANSWERS.values():
                    for path in ("/v1/chat/completions", "/open/v1/messages", "/nowhere/sk-query", "/v1/../sk-query"):
                        target = f"{path}?key=sk-query&api_key=sk-query"
                        answer = await say(gateway.port, post(BODY, *HEADERS, path=target), last=b"")
                        assert statuses(answer)
                        own.append(answer.replace(b"sk-answer", b""))  # which is for the client
                await say(gateway.port, post(BODY, *HEADERS, "x: \0sk-header", path="/v1?key=sk-query"), last=b"")
                await gateway.told(4 * len(ANSWERS))
                metrics = await say(gateway.port, b"", last=METRICS)
            for text in (*own, metrics, repr(gateway.records).encode(), gateway.gateway.errors):
                for secret in SECRETS:
                    assert secret.encode() not in text, text

    run(scenario())


def labels(metrics: bytes) -> set[bytes]:
    return {line.rpartition(b" ")[0] for line in metrics.splitlines() if line.startswith(b"sse_fast")}


async def flood(gateway: Observed, numbers: range) -> None:
    """Requests of which each says something new wherever that can be said."""
    for number in numbers:
        body = b'{"model":"m%d"}' % number
        headers = [f"x-{number}: {number}", f"user-agent: {number}", f"origin: {number}"]
        pair = post(body, *headers, f"x-request-id: {number}", path=f"/v1/{number}?{number}", close=False)
        pair += post(body, *headers, path=f"/{number}/x", close=False)
        assert statuses(await say(gateway.port, pair)) == [200, 404, 200]
        method = f"M{number} /v1 HTTP/1.1\r\nhost: gateway\r\n\r\n".encode()
        assert statuses(await say(gateway.port, method)) == [400]


def test_labels_are_as_many_as_routes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(json_reply({"model": "x", "usage": {"prompt_tokens": 1}}))
            one = {"path": "/v1", "upstreams": [{"url": upstream.url}], "models": {"fast": "real-1"}}
            async with attacked(tmp_path, one) as gateway:
                await flood(gateway, range(10))
                before = labels(await say(gateway.port, b"", last=METRICS))
                with gateway.growth_below(16 << 20):
                    await flood(gateway, range(10, 300))
                assert labels(await say(gateway.port, b"", last=METRICS)) == before

    run(scenario())


def test_a_line_of_the_log_is_one_line(tmp_path: Path) -> None:
    """Whatever is in it; `Observed` reads each as JSON, and refuses an id that comes twice."""
    models = [
        r"a\nb",
        r"\r\n{\"id\":\"forged\"}",
        r"\u0000",
        r"\u2028",
        r"\ud800",
        "x" * 100_000,
        "\x7f",
        r"\u001b[31m",
    ]

    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(json_reply({"model": "x\ny\u2028" * 100}))
            async with attacked(tmp_path, {"path": "/v1", "upstreams": [{"url": upstream.url}]}) as gateway:
                for model in models:
                    data = post(b'{"model":"%b"}' % model.encode(), 'x-request-id: {}\t"\\')
                    assert statuses(await say(gateway.port, data, last=b"")) == [200]
                records = [each for each in await gateway.told(len(models)) if each["route"] == "/v1"]
                assert len(records) == len(models)
                for record in records:
                    assert re.fullmatch("req_[0-9a-f]{24}", record["id"])
                    assert len(record["model"]) <= 200
                    assert len(record["upstream_model"]) <= 200

    run(scenario())
