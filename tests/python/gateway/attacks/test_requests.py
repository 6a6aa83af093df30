"""Requests with two meanings (smuggling), and headers that would become more than one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from live.watch import named, run

from gateway.attacks.raw import LAST, say, statuses
from gateway.attacks.witness import attacked
from gateway.observed import route
from gateway.upstream import Reply, Seen, Upstream, json_reply

BODY = '{"model":"m"}'
HEAD = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
LENGTH = f"content-length: {len(BODY)}\r\n"
CHUNKED = "transfer-encoding: chunked\r\n"
SMUGGLED = "GET /v1/smuggled HTTP/1.1\r\nhost: gateway\r\n\r\n"


def chunked(size: str = f"{len(BODY):x}", body: str = BODY, end: str = "0\r\n\r\n", line: str = "\r\n") -> str:
    return f"{HEAD}{CHUNKED}\r\n{size}{line}{body}{line}{end}"


def coded(header: str) -> str:
    return chunked().replace(CHUNKED, f"{header}\r\n")


def lengths(*headers: str) -> str:
    return HEAD + "\r\n".join([*headers, "", BODY])


REFUSED = {
    "no host": lengths("content-length: 13").replace("host: gateway\r\n", ""),
    "two hosts": lengths("host: elsewhere", "content-length: 13"),
    "both lengths": f"{HEAD}content-length: 5\r\n{CHUNKED}\r\n0\r\n\r\n{SMUGGLED}",
    "both lengths, the other way round": f"{HEAD}{CHUNKED}content-length: 5\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "two lengths": lengths("content-length: 13", "content-length: 5"),
    "two equal lengths": lengths("content-length: 13", "content-length: 13"),
    "a list of lengths": lengths("content-length: 13, 13"),
    "a length with a sign": lengths("content-length: +13"),
    "a negative length": lengths("content-length: -1"),
    "a length in hex": lengths("content-length: 0xd"),
    "a length beyond 64 bits": lengths("content-length: 99999999999999999999999"),
    "a length with a space before its colon": lengths("content-length : 13"),
    "another coding": coded("transfer-encoding: xchunked"),
    "identity": coded("transfer-encoding: identity"),
    "gzip, chunked": coded("transfer-encoding: gzip, chunked"),
    "chunked, identity": coded("transfer-encoding: chunked, identity"),
    "chunked twice": coded("transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
    "chunked, chunked": coded("transfer-encoding: chunked, chunked"),
    "chunked in quotes": coded('transfer-encoding: "chunked"'),
    "chunked after a vertical tab": coded("transfer-encoding: \x0bchunked"),
    "chunked on a folded line": coded("transfer-encoding:\r\n chunked"),
    "chunked with a space before the colon": coded("transfer-encoding : chunked"),
    "chunked after a bare CR": coded("x: y\rtransfer-encoding: chunked"),
    "a chunk's size in 0x": chunked("0xd"),
    "a negative chunk": chunked("-1"),
    "a chunk's size with a space": chunked("d "),
    "a chunk beyond 64 bits": chunked("f" * 18),
    "a chunk that is longer than it says": chunked("5"),
    "an extension that ends in a bare LF": chunked("d;a\n", line=""),
    "chunks in bare LF": chunked(end="0\n\n", line="\n"),
    "a length among the trailers": chunked(end="0\r\ncontent-length: 3\r\n\r\n"),
    "lines in bare LF": lengths("content-length: 13").replace("\r\n", "\n"),
    "NUL in a header": lengths("x: a\0b", "content-length: 13"),
    "a control character in a header": lengths("x: a\x01b", "content-length: 13"),
    "a bare CR in a header": lengths("x: a\rb: c", "content-length: 13"),
    "a folded header": lengths("x: a", " b: c", "content-length: 13"),
    "a folded first header": f"GET /v1 HTTP/1.1\r\n x: 1\r\n{LENGTH}\r\n",
    "a header without a name": lengths(": a", "content-length: 13"),
    "a body that an upgrade would eat": lengths("connection: upgrade", "upgrade: h2c", "content-length: 13"),
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}
UNDERSTOOD = {
    "a length": lengths("content-length: 13"),
    "chunked": chunked(),
    "chunked after a tab": coded("transfer-encoding:\tChunked"),
    "extensions": chunked('d;a=b;c="0"'),
    "leading zeros": chunked("000d"),
    "many small chunks": f"{HEAD}{CHUNKED}\r\n" + "".join(f"1\r\n{each}\r\n" for each in BODY) + "0\r\n\r\n",
    "trailers": chunked(end="0\r\nauthorization: Bearer trailer\r\nx-trailer: 1\r\n\r\n"),
    "in two meanings to nobody": f"{lengths('content-length: 13', 'transfer-coding: chunked')}",
}


def test_what_has_two_meanings_has_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url)) as gateway:
            upstream.will(json_reply({}))
            for name, data in REFUSED.items():
                answer = await named(name, say(gateway.port, data.encode("latin-1")))
                assert statuses(answer) == [400], name
                assert upstream.seen == [], name

    run(scenario())


def test_no_refusal_stands_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url)) as gateway:
            upstream.will(Reply(chunks=[b"data: 1\n\n"], end="hang"))
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(f"{HEAD}content-length: 2\r\n\r\n{{}}".encode())
            answer = await reader.readuntil(b"data: 1\n\n")
            writer.write(b"GET /v1 HTTP/1.1\r\n\r\n")
            answer += await reader.read()
            writer.close()
            assert statuses(answer) == [200]
            assert b"400" not in answer

    run(scenario())


def test_what_the_protocol_refuses_by_itself_has_its_reason(tmp_path: Path) -> None:
    reasons = {
        "a body that an upgrade would eat": b"an upgrade of a request with a body is not supported",
        "two hosts": b"a request has exactly one Host",
    }

    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url)) as gateway:
            for name, reason in reasons.items():
                assert reason in await say(gateway.port, REFUSED[name].encode("latin-1")), name

    run(scenario())


def test_what_has_one_meaning_is_passed_on_in_plain_words(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url)) as gateway:
            upstream.will(json_reply({}))
            for name, data in UNDERSTOOD.items():
                answer = await named(name, say(gateway.port, data.encode("latin-1")))
                assert statuses(answer) == [200, 200], name
                (seen,) = upstream.seen
                assert in_plain_words(seen), (name, seen)
                upstream.seen.clear()

    run(scenario())


def in_plain_words(seen: Seen) -> bool:
    names = {name for name, _ in seen.headers}
    known = {"host", "content-type", "content-length", "accept-encoding", "x-request-id", "transfer-coding"}
    return seen.body == BODY.encode() and seen.values("content-length") == ["13"] and names <= known


def test_chunks_that_are_not_held_are_framed_anew(tmp_path: Path) -> None:
    """What passes while it comes cannot carry a second request in its framing either."""
    inner = f"x=1\r\n0\r\n\r\n{SMUGGLED}"
    data = chunked(f"{len(inner):x};x={'y' * 100}", inner).replace("application/json", "audio/wav")

    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url)) as gateway:
            upstream.will(json_reply({}))
            assert statuses(await say(gateway.port, data.encode())) == [200, 200]
            (seen,) = upstream.seen
            assert seen.body == inner.encode()
            assert seen.values("transfer-encoding") == ["chunked"]
            assert seen.values("content-length") == []

    run(scenario())


@pytest.mark.parametrize("count", [10, 1000])
def test_pipelines(tmp_path: Path, count: int) -> None:
    """Answers come in order; who sends far too many at once gets none at all, perhaps."""

    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url)) as gateway:
            upstream.will(json_reply({}))
            data = b"GET /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n" * count
            answer = await say(gateway.port, data)
            if count == 10:
                assert statuses(answer) == [200] * 11
            assert len(upstream.seen) <= max(count, 20)

    run(scenario())


def test_a_pipeline_that_nobody_reads(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url)) as gateway:
            with gateway.growth_below(32 << 20):
                _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                try:
                    for _ in range(100):
                        writer.write(LAST.replace(b"close", b"keep-alive") * 1000)
                        await asyncio.wait_for(writer.drain(), 5)
                except (ConnectionError, TimeoutError):
                    pass
                else:
                    raise AssertionError("all of it was taken")
                finally:
                    writer.close()

    run(scenario())
