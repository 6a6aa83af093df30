"""What is very large, or becomes it: no more memory than the limits say, and no other stream waits for it."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from live.client import Client
from live.watch import run

from gateway.attacks.raw import Bare, post, say, statuses
from gateway.attacks.witness import attacked
from gateway.bodies import CHAT, DONE, ask, chat_chunk
from gateway.observed import PATIENCE, Observed, Post, route
from gateway.upstream import EVENTS, JSON, Reply, Upstream, json_reply

MIB = 1 << 20
PIECE = b"x" * MIB
# Of the process: buffers of sockets and pieces in flight, arenas of the allocator.
LITTLE = 48 * MIB
ALIAS = {"models": {"fast": "real-1"}}


async def heads_refused(gateway: Observed, beginning: bytes, part: bytes) -> None:
    """The gateway stops listening long before the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(beginning)
            for _ in range(64 * MIB // len(part)):
                writer.write(part)
                await writer.drain()
            assert await reader.read() == b""
    except ConnectionError:
        return
    finally:
        writer.close()
    raise AssertionError("64 MiB were taken")


GET = b"GET /v1/models HTTP/1.1\r\nhost: gateway\r\n"
CHUNKED = b"POST /v1/x HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n"
HEADS = {
    "a method": (b"", b"A" * 65_536),
    "a target": (b"GET /v1/x", b"a" * 65_536),
    "a query": (b"GET /v1/x?", b"a=b&" * 16_384),
    "a name": (GET, b"a" * 65_536),
    "a value": (GET + b"x: ", b"a" * 65_536),
    "headers": (GET, b"a: b\r\n" * 10_000),
    "empty lines": (b"", b"\r\n" * 32_768),
    "an extension": (CHUNKED + b"5;", b"a" * 65_536),
    "a chunk's size": (CHUNKED, b"0" * 65_536),
    "trailers": (CHUNKED + b"0\r\n", b"a: b\r\n" * 10_000),
    "a trailer": (CHUNKED + b"0\r\na:", b"a" * 65_536),
}


def test_heads_without_an_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url)) as gateway:
            upstream.will(json_reply({}))
            with gateway.growth_below(LITTLE):
                for beginning, part in HEADS.values():
                    await heads_refused(gateway, beginning, part)
            answer = await say(gateway.port, GET + b"x: " + b"a" * 50_000 + b"\r\n\r\n")
            assert statuses(answer) == [200, 200]  # a large one is none of these
            answer = await say(gateway.port, GET + b"x: " + b"a" * 70_000, last=b"")
            assert statuses(answer) == [431]

    run(scenario())


@pytest.mark.parametrize("kind", ["application/json", "audio/wav"])
def test_bodies_without_an_end(tmp_path: Path, kind: str) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\ncontent-type: {kind}\r\n".encode()

    async def scenario() -> None:
        limit = 4 * MIB
        settings = {"max_request_bytes": limit}
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url), **settings) as gateway:
            upstream.will(json_reply({}))
            with gateway.growth_below(LITTLE):
                for framing in (b"content-length: %d\r\n" % (limit + 1), b"content-length: 1000000000000\r\n"):
                    assert statuses(
                        await say(gateway.port, head + framing + b"connection: close\r\n\r\n", last=b"")
                    ) == [413]
                for size in (16, MIB):
                    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                    writer.write(head + b"transfer-encoding: chunked\r\n\r\n")
                    sending = asyncio.ensure_future(endless(writer, b"%x\r\n%b\r\n" % (size, PIECE[:size])))
                    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
                    assert statuses(answer) == [413]
                    sending.cancel()
                    await asyncio.wait({sending})
                    writer.close()
            assert all(len(seen.body) <= limit for seen in upstream.seen)

    run(scenario())


async def endless(writer: asyncio.StreamWriter, chunk: bytes) -> None:
    several = chunk * max(1, 65_536 // len(chunk))
    while True:
        writer.write(several)
        await writer.drain()


class Times:
    """A sequence without a list."""

    def __init__(self, first: bytes, chunk: bytes, count: int, *rest: bytes) -> None:
        self._parts = first, chunk, count, rest

    def __iter__(self) -> Iterator[bytes]:
        first, chunk, count, rest = self._parts
        yield first
        for _ in range(count):
            yield chunk
        yield from rest


async def length_and_end(client: Client) -> tuple[int, bytes]:
    """Of a whole body, of which only the end is kept."""
    length, end = 0, b""
    async with asyncio.timeout(PATIENCE * 2):
        while await client.read(1 << 20):
            part = client.take()
            length, end = length + len(part), (end + part)[-200:]
    assert client.complete
    return length, end


def test_an_event_of_a_gibibyte(tmp_path: Path) -> None:
    """It is neither held nor cut, and its model, which stands behind its text, is still the client's."""
    first, last = b'data: {"choices":[{"delta":{"content":"', b'"}}],"model":"real-1"}\n\n'

    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url, **ALIAS)) as gateway:
            upstream.will(Reply(chunks=Times(first, PIECE, 1024, last, DONE)))  # type: ignore[arg-type]
            with gateway.growth_below(LITTLE):
                async with Post(gateway.port, CHAT, ask()) as client:
                    length, end = await length_and_end(client)
            expected = last.replace(b"real-1", b"fast") + DONE
            assert length == len(first) + 1024 * MIB + len(expected)
            assert end.endswith(b"x" + expected)
            (record,) = [each for each in await gateway.told(1) if each["route"] == "/v1"]
            assert record["outcome"] == "completed"

    run(scenario())


def test_a_million_comments(tmp_path: Path) -> None:
    comments = b": nothing yet\n\n" * 1000

    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url, **ALIAS)) as gateway:
            upstream.will(Reply(chunks=Times(chat_chunk("Hel"), comments, 1000, DONE)))  # type: ignore[arg-type]
            with gateway.growth_below(LITTLE):
                async with Post(gateway.port, CHAT, ask()) as client:
                    length, end = await length_and_end(client)
            assert length == len(chat_chunk("Hel")) - len("real-1") + len("fast") + 1000 * len(comments) + len(DONE)
            assert end.endswith(comments[-100:] + DONE)

    run(scenario())


def bomb(first: bytes, last: bytes, mebibytes: int, times: int) -> bytes:
    """So many MiB between these, compressed so many times."""
    data = first + b" " * (mebibytes * MIB) + last
    for _ in range(times):
        data = gzip.compress(data, 6 if len(data) < MIB else 1)
    return data


@pytest.mark.parametrize("times", [1, 2])
def test_a_compressed_json_body_that_bursts(tmp_path: Path, times: int) -> None:
    body = bomb(b'{"model":"real-1"', b"}", 128, times)
    codings = ("content-encoding", ", ".join(["gzip"] * times))

    async def scenario() -> None:
        limit = 4 * MIB
        settings = {"max_response_bytes": limit}
        async with (
            Upstream() as upstream,
            attacked(tmp_path, route("/v1", upstream.url, **ALIAS), **settings) as gateway,
        ):
            upstream.will(Reply(headers=[JSON, codings], chunks=[body]))
            with gateway.growth_below(LITTLE):
                async with Post(gateway.port, CHAT, ask(stream=False)) as client:
                    error = json.loads(await asyncio.wait_for(client.rest(), PATIENCE))["error"]
            assert client.status == 502
            assert error["message"] == f"the upstream's answer is larger than {limit} bytes"

    run(scenario())


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_event_stream_that_bursts(tmp_path: Path, coding: str) -> None:
    """128 MiB out of an eighth of one: all of it comes, at the pace at which it is taken."""
    first, last = b'data: {"choices":[{"delta":{"content":"', b'"}}],"model":"real-1"}\n\n' + DONE
    whole = bomb(first, last, 128, 1 if coding == "gzip" else 0)
    body = whole if coding == "gzip" else zlib.compress(whole, 1)

    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url, **ALIAS)) as gateway:
            upstream.will(Reply(headers=[EVENTS, ("content-encoding", coding)], chunks=[body]))
            with gateway.growth_below(LITTLE):
                async with Post(gateway.port, CHAT, ask()) as client:
                    length, end = await length_and_end(client)
            assert length == len(first) + 128 * MIB + len(last) - len("real-1") + len("fast")
            assert end.endswith(last.replace(b"real-1", b"fast"))

    run(scenario())


def test_a_json_body_that_is_larger_than_what_may_be_held(tmp_path: Path) -> None:
    async def scenario() -> None:
        limit = 4 * MIB
        settings = {"max_response_bytes": limit}
        async with Bare() as upstream, attacked(tmp_path, route("/v1", upstream.url, **ALIAS), **settings) as gateway:
            upstream.answer = head + b"content-length: 1073741824\r\n\r\n" + b" " * (8 * MIB)
            with gateway.growth_below(LITTLE):
                answer = await say(gateway.port, post(), last=b"")
            assert statuses(answer) == [502]
            assert f"larger than {limit} bytes".encode() in answer
            upstream.answer = head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
            answer = await say(gateway.port, post(b'{"model":"fast"}'), last=b"")
            assert answer.endswith(body.replace(b"real-1", b"fast"))

    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
    body = b'{"model":"real-1","text":"%b"}' % PIECE
    run(scenario())
