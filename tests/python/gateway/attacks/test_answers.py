"""Upstreams that lie: in their heads, in the form of their bodies, in the numbers that they tell."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

from live.watch import named, run

from gateway.attacks.raw import Bare, post, say
from gateway.attacks.witness import attacked
from gateway.observed import route

STREAM = b"data: [DONE]\n\n"
HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n"
END = b"content-length: %d\r\n\r\n%b" % (len(STREAM), STREAM)
CHUNKED = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(STREAM), STREAM)
JSON = HEAD.replace(b"text/event-stream", b"application/json")


def sized(body: bytes) -> bytes:
    return b"content-length: %d\r\n\r\n%b" % (len(body), body)


REFUSED = {
    "NUL in a header": HEAD + b"x: a\0b\r\n" + END,
    "a control character in a header": HEAD + b"x: a\x01b\r\n" + END,
    "DEL in a header": HEAD + b"x: a\x7fb\r\n" + END,
    "a vertical tab in its type": HEAD.replace(b"stream", b"stream\x0b") + END,
    "a bare CR in a header": HEAD + b"x: a\rset-cookie: b\r\n" + END,
    "a header's name with a space": HEAD + b"x : a\r\n" + END,
    "a header's name with brackets": HEAD + b"x(y: a\r\n" + END,
    "a header without a name": HEAD + b": a\r\n" + END,
    "both lengths": HEAD + b"content-length: 3\r\n" + CHUNKED,
    "two lengths": HEAD + b"content-length: 3\r\n" + END,
    "gzip, chunked": HEAD + CHUNKED.replace(b"chunked", b"gzip, chunked"),
    "a line of 100,000 bytes": b"HTTP/1.1 200 " + b"O" * 100_000 + b"\r\n" + END,
    "a header of 100,000 bytes": HEAD + b"x: " + b"a" * 100_000 + b"\r\n" + END,
    "100,000 headers": HEAD + b"x: y\r\n" * 100_000 + END,
    "status 99": HEAD.replace(b"200", b"99") + END,
    "status 600": HEAD.replace(b"200", b"600") + END,
    "status 999": HEAD.replace(b"200", b"999") + END,
    "another protocol": b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    "no HTTP": b"\x00\x01\r\n\r\n",
    "nothing": b"",
    "a coding that nobody knows": HEAD + b"content-encoding: br\r\n" + END,
    "no gzip": HEAD + b"content-encoding: gzip\r\n" + END,
    "half a gzip": JSON + b"content-encoding: gzip\r\n" + sized(gzip.compress(b'{"a":1}')[:-5]),
    "six codings": JSON + b"content-encoding: " + b", ".join([b"gzip"] * 6) + b"\r\n" + sized(b"x"),
    "half a body": JSON + b"content-length: 50\r\n\r\n{",
    "half a chunk": JSON + b"transfer-encoding: chunked\r\n\r\n50\r\n{",
}


def test_an_answer_that_cannot_be_passed_on_is_a_clear_502(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Bare() as upstream, attacked(tmp_path, route("/v1", upstream.url)) as gateway:
            with gateway.growth_below(32 << 20):
                for number, (name, upstream.answer) in enumerate(REFUSED.items(), 1):
                    answer = await named(name, say(gateway.port, post(), last=b""))
                    head, _, body = answer.partition(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 502 "), (name, answer)
                    assert upstream.asked == number
                    message = json.loads(body)["error"]["message"]
                    assert message.startswith("the upstream")
                    assert "127.0.0.1" not in message
                    assert b"set-cookie" not in answer
            await gateway.told(len(REFUSED))
            told = [record for record in gateway.records if record["route"] == "/v1"]
            assert {(record["status"], record["outcome"]) for record in told} == {(502, "upstream_error")}

    run(scenario())


# A folded line is a part of the header before it (RFC 9112, 5.2).
HEADERS = {
    b"x: a\r\n set-cookie: b\r\n": [b"x: a set-cookie: b"],
    b"x: a\r\n\tset-cookie: b\r\n": [b"x: a\tset-cookie: b"],
    b"x: caf\xe9\r\n": [b"x: caf\xe9"],
    "x: café\r\n".encode(): ["x: café".encode()],
    b"x: %0d%0aset-cookie: b\r\n": [b"x: %0d%0aset-cookie: b"],
    b"x: \\r\\nset-cookie: b\r\n": [b"x: \\r\\nset-cookie: b"],
    b"x: y\r\nconnection: x, content-type\r\n": [],
    b"trailer: x\r\nkeep-alive: 1\r\nproxy-authenticate: Basic\r\nupgrade: h2c\r\n": [],
}


def test_headers_stay_what_they_are(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Bare() as upstream, attacked(tmp_path, route("/v1", upstream.url)) as gateway:
            plain = await answered(upstream, b"", gateway.port)
            for headers, expected in HEADERS.items():
                lines = await answered(upstream, headers, gateway.port)
                more = [line for line in lines if line not in plain and not line.startswith(b"content-type")]
                assert more == expected
                assert not any(line.startswith(b"set-cookie") for line in lines)

    run(scenario())


async def answered(upstream: Bare, headers: bytes, port: int) -> list[bytes]:
    """The lines of the head; ids and dates out."""
    upstream.answer = HEAD + headers + END
    answer = await say(port, post(), last=b"")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert STREAM in body
    return [line for line in head.split(b"\r\n") if not line.startswith((b"date", b"x-request-id"))]


def deep(depth: int) -> bytes:
    return b'{"model":' + b"[" * depth + b"]" * depth + b',"usage":' + b"[" * depth + b"]" * depth + b"}"


def used(count: str) -> bytes:
    return b'{"model":"m","choices":[],"usage":{"prompt_tokens":%b,"completion_tokens":4}}' % count.encode()


TEXTS = {
    "1,000 deep": deep(1000),
    "1,023 deep": deep(1023),
    "100,000 deep": deep(100_000),
    "5,000 digits": used("9" * 5000),
    "400 digits": used("1" + "0" * 400),
    "an exponent": used("1e999"),
    "Infinity": used("Infinity"),
    "NaN": used("NaN"),
    "a negative count": used("-7"),
    "a string": used('"many"'),
    "half a surrogate pair": b'{"model":"\\ud800","choices":[]}',
    "control characters": b'{"model":"a\\r\\nb\\u0000","choices":[]}',
    "UTF-16": '{"model":"m"}'.encode("utf-16"),
    "no UTF-8": b'{"model":"\xff\xfe","choices":[]}',
    "the same name a thousand times": b"{" + b'"model":"m",' * 1000 + b'"choices":[]}',
    "nothing": b"",
}


def test_json_that_is_hard_to_read_passes_and_counts_for_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Bare() as upstream, attacked(tmp_path, route("/v1", upstream.url, strip_cost=True)) as gateway:
            requests = 0
            for name, text in TEXTS.items():
                for answer, sent in (
                    (JSON + sized(text), text),
                    (HEAD + sized(b"data: " + text + b"\n\n" + STREAM), STREAM),
                ):
                    upstream.answer = answer
                    got = await named(name, say(gateway.port, post(), last=b""))
                    assert got.startswith(b"HTTP/1.1 200 "), (name, got)
                    assert sent in got
                    requests += 1
                if text:  # as a request
                    upstream.answer = JSON + sized(b"{}")
                    assert (await named(name, say(gateway.port, post(text), last=b""))).startswith(b"HTTP/1.1 200 ")
                    requests += 1
            await gateway.told(requests)
            assert {record["status"] for record in gateway.records} == {200}
            metrics = await say(
                gateway.port, b"", last=b"GET /metrics HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n"
            )
            counts = re.findall(rb'sse_fast_tokens_total\{kind="(\w+)".*\} (\S+)', metrics)
            assert all(re.fullmatch(rb"[0-9.]+", count) for _, count in counts)
            assert dict(counts)[b"input"] == b"0.0"

    run(scenario())
