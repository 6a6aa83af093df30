"""Clients: those that send too much, too slowly or too strange, and those that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from live.watch import run, soon

from gateway.bodies import CHAT, CHAT_STREAM, MESSAGES, ask, chat_chunk
from gateway.running import client, config, records, serving
from gateway.upstream import JSON, Reply, Upstream, json_reply, reset

LIMITED = {"max_request_bytes": 1000}
AUDIO = ("content-type", "audio/wav")


class Talk:
    """A connection to the gateway, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, *lines: str, body: bytes = b"") -> None:
        self.writer.write("\r\n".join([*lines, "host: gateway", "", ""]).encode("latin-1") + body)
        await self.writer.drain()

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()

    async def json(self) -> Any:
        """A whole response's body."""
        length = int((await self.head()).partition("content-length: ")[2].split("\r\n")[0])
        return httpx.Response(200, content=await self.reader.readexactly(length)).json()


Scene = Callable[[Talk, Upstream], Awaitable[None]]


def talk(scene: Scene, *replies: Reply, told: int = 1, **settings: Any) -> Any:
    """What the gateway told of the requests of a scene, of which there is one unless said otherwise."""

    async def scenario() -> Any:
        async with Upstream() as upstream:
            upstream.will(*replies)
            with records() as lines:
                async with serving(config(upstream.url, **settings)) as url:
                    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
                    try:
                        await soon(scene(Talk(reader, writer), upstream))
                    finally:
                        writer.close()
                    await lines.of(told)
            assert len(lines) == told
            return lines[0] if told == 1 else lines

    return run(scenario())


POST = (f"POST {CHAT} HTTP/1.1", "content-type: application/json")


@pytest.mark.parametrize("length", ["content-length: 1001", "transfer-encoding: chunked"])
@pytest.mark.parametrize("kind", ["application/json", "audio/wav"])
def test_a_body_that_is_too_large(length: str, kind: str) -> None:
    async def scene(client: Talk, upstream: Upstream) -> None:
        body = b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n" if "chunked" in length else b"x" * 1001
        await client.say(f"POST {CHAT} HTTP/1.1", f"content-type: {kind}", length, body=body)
        error = (await client.json())["error"]
        assert "larger than 1000 bytes" in error["message"]
        assert error["code"] == "413"

    record = talk(scene, json_reply({}), **LIMITED)
    assert (record["status"], record["outcome"]) == (413, "refused")


def test_a_body_that_says_it_is_too_large_is_not_waited_for() -> None:
    async def scene(client: Talk, upstream: Upstream) -> None:
        await client.say(f"POST {CHAT} HTTP/1.1", "content-type: audio/wav", "content-length: 1001")
        assert (await client.json())["error"]["code"] == "413"
        assert upstream.seen == []

    talk(scene, json_reply({}), **LIMITED)


@pytest.mark.parametrize("kind", ["application/json", "audio/wav"])
def test_a_body_that_does_not_come(kind: str) -> None:
    async def scene(client: Talk, upstream: Upstream) -> None:
        await client.say(f"POST {MESSAGES} HTTP/1.1", f"content-type: {kind}", "content-length: 10", body=b"{")
        head = await client.head()
        assert head.startswith("http/1.1 408 ")
        assert "connection: close" in head
        assert b'"type":"error"' in await client.reader.read()

    record = talk(scene, json_reply({}), timeouts={"request": 0.3})
    assert (record["status"], record["outcome"], record["dialect"]) == (408, "refused", "messages")


@pytest.mark.parametrize("status", [413, 400])
def test_an_answer_is_not_lost_where_the_client_sends_yet(status: int) -> None:
    """A closed connection with bytes unread is reset, and the kernel forgets what was sent."""
    settings = {"max_request_bytes": 1 << (16 if status == 413 else 25)}
    kind = "application/json" if status == 413 else "audio/wav"

    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(json_reply({"error": {}}, status=400, early=True))
            async with serving(config(upstream.url, **settings)) as url, client() as http:
                headers = {"content-type": kind, "connection": "close"}
                response = await http.post(url + CHAT, content=b"x" * (4 << 20), headers=headers)
                assert response.status_code == status

    for _ in range(5):
        run(scenario())


def test_a_large_body() -> None:
    body = {**ask(), "text": "x" * (4 << 20)}

    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(Reply(chunks=CHAT_STREAM))
            async with serving(config(upstream.url, route={"models": {"fast": "real-1"}})) as url, client() as http:
                assert (await http.post(url + CHAT, json=body)).status_code == 200
            assert upstream.seen[0].json == {**body, "model": "real-1"}
            assert int(upstream.seen[0].values("content-length")[0]) == len(upstream.seen[0].body)

    run(scenario())


def test_expect_100_continue() -> None:
    async def scene(client: Talk, upstream: Upstream) -> None:
        await client.say(*POST, "content-length: 2", "expect: 100-continue")
        assert await client.head() == "http/1.1 100 continue\r\n\r\n"
        client.writer.write(b"{}")
        assert (await client.head()).startswith("http/1.1 200 ")
        assert upstream.seen[0].values("expect") == []

    talk(scene, json_reply({}))


def test_an_answer_before_the_end_of_the_request() -> None:
    async def scene(client: Talk, upstream: Upstream) -> None:
        await client.say(f"POST {CHAT} HTTP/1.1", "content-type: audio/wav", "content-length: 100", body=b"x")
        assert await client.json() == {"error": "too loud"}

    assert talk(scene, json_reply({"error": "too loud"}, status=400, early=True))["status"] == 400


@pytest.mark.parametrize("target", ["//", "/v1/models/%0a", "/v1/?", "/v1/[x]?{y}|z"])
def test_strange_targets_pass(target: str) -> None:
    async def scene(client: Talk, upstream: Upstream) -> None:
        await client.say(f"GET {target} HTTP/1.1")
        assert (await client.head()).startswith("http/1.1 200 ")
        assert upstream.seen[0].target == target.removesuffix("?")

    talk(scene, json_reply({}))


@pytest.mark.parametrize(
    ("line", "status", "told"),
    [
        ("GET /v1\\..\\x HTTP/1.1", 400, 1),
        ("TRACE /v1 HTTP/1.1", 405, 1),
        ("CONNECT host:1 HTTP/1.1", 400, 0),
        ("GET /v1/\xe9 HTTP/1.1", 400, 0),
        ("GET /v1/ x HTTP/1.1", 400, 0),
    ],
)
def test_what_is_not_passed_on(line: str, status: int, told: int) -> None:
    async def scene(client: Talk, upstream: Upstream) -> None:
        await client.say(line)
        assert (await client.head()).startswith(f"http/1.1 {status} ")
        assert upstream.seen == []

    talk(scene, json_reply({}), told=told)


def test_compressed_json_is_refused() -> None:
    async def scene(client: Talk, upstream: Upstream) -> None:
        await client.say(*POST, "content-length: 1", "content-encoding: gzip", body=b"x")
        assert (await client.json())["error"]["code"] == "415"

    talk(scene)


LEAVE: dict[str, Callable[[Talk], object]] = {
    "close": lambda client: client.writer.close(),
    "reset": lambda client: reset(client.writer),
    "half-close": lambda client: client.writer.write_eof(),
}
BODY = httpx.Request("POST", "http://x", json=ask()).content
WHOLE = (*POST, f"content-length: {len(BODY)}")


@pytest.mark.parametrize("leave", LEAVE.values(), ids=LEAVE)
class TestLeaving:
    def test_while_the_request_is_sent(self, leave: Callable[[Talk], object]) -> None:
        for kind in (JSON, AUDIO):

            async def scene(client: Talk, upstream: Upstream, kind: Any = kind) -> None:
                await client.say(f"POST {CHAT} HTTP/1.1", ": ".join(kind), "content-length: 10", body=b"{")
                if kind == AUDIO:
                    seen = await upstream.asked()
                    leave(client)
                    await seen.gone.wait()
                else:
                    await asyncio.sleep(0.1)
                    leave(client)

            record = talk(scene, json_reply({}))
            assert (record["status"], record["outcome"]) == (499, "cancelled")

    def test_before_the_upstream_answers(self, leave: Callable[[Talk], object]) -> None:
        async def scene(client: Talk, upstream: Upstream) -> None:
            await client.say(*WHOLE, body=BODY)
            seen = await upstream.asked()
            leave(client)
            await seen.gone.wait()

        record = talk(scene, Reply(delay=30))
        assert (record["status"], record["outcome"], record["attempts"]) == (499, "cancelled", 1)

    @pytest.mark.parametrize("reply", [Reply(end="hang"), Reply(headers=[JSON], chunks=[b"{"], end="hang")])
    def test_before_anything_is_sent(self, reply: Reply, leave: Callable[[Talk], object]) -> None:
        async def scene(client: Talk, upstream: Upstream) -> None:
            await client.say(*WHOLE, body=BODY)
            seen = await upstream.asked()
            await asyncio.sleep(0.1)
            leave(client)
            await seen.gone.wait()

        record = talk(scene, reply)
        assert (record["status"], record["outcome"], record["bytes_out"]) == (499, "cancelled", 0)

    @pytest.mark.parametrize("kind", [("content-type", "text/event-stream"), AUDIO])
    def test_in_a_stream(self, kind: tuple[str, str], leave: Callable[[Talk], object]) -> None:
        async def scene(client: Talk, upstream: Upstream) -> None:
            await client.say(*WHOLE, body=BODY)
            await client.head()
            await client.reader.readuntil(b"\n\n")
            leave(client)
            await upstream.seen[0].gone.wait()

        record = talk(scene, Reply(headers=[kind], chunks=[chat_chunk("Hel")], end="hang"))
        assert (record["status"], record["outcome"]) == (200, "cancelled")
        assert record["bytes_out"] == len(chat_chunk("Hel"))


def test_a_client_that_does_not_read_holds_the_upstream_back() -> None:
    events = [chat_chunk("x" * 10_000)] * 3000

    async def scene(client: Talk, upstream: Upstream) -> None:
        await client.say(*WHOLE, body=BODY)
        seen, before = await upstream.asked(), -1
        while before != seen.sent:
            before = seen.sent
            await asyncio.sleep(0.3)
        assert 0 < seen.sent < sum(map(len, events)) / 2

    assert talk(scene, Reply(chunks=events))["outcome"] == "cancelled"


def test_a_connection_serves_many_requests() -> None:
    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(Reply(chunks=CHAT_STREAM))
            async with serving(config(upstream.url)) as url, client() as http:
                for _ in range(20):
                    assert (await http.post(url + CHAT, json=ask())).content == b"".join(CHAT_STREAM)
            assert upstream.connections == 1

    run(scenario())
