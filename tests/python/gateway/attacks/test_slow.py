"""Peers that take their time: with heads, with bodies, with reading."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from live.client import Client
from live.watch import PACES, allow_descriptors, run

from gateway.attacks.raw import statuses
from gateway.attacks.witness import attacked
from gateway.bodies import CHAT, ask, chat_chunk
from gateway.observed import PATIENCE, Post, observed, route, until
from gateway.upstream import Reply, Upstream, json_reply

EACH = 60
ALLOWED = 2.0
"""Seconds for a request to come."""
MEMORY = 100 << 10
"""Bytes for each of them."""
HEAD = f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\n"
JSON = "content-type: application/json\r\n"
AUDIO = "content-type: audio/wav\r\n"
# What comes at once, and the rest, of which one byte comes after another.
SLOW = {
    "nothing": ("", ""),
    "a head": ("GET /v1/mod", "e" * 1000),
    "headers": (HEAD, "a: b\r\n" * 1000),
    "a JSON body": (HEAD + JSON + "content-length: 1000\r\n\r\n", " " * 1000),
    "another body": (HEAD + AUDIO + "content-length: 1000\r\n\r\n", " " * 1000),
    "chunks": (HEAD + JSON + "transfer-encoding: chunked\r\n\r\n", "1\r\n \r\n" * 1000),
    "trailers": (HEAD + JSON + "transfer-encoding: chunked\r\n\r\n1\r\n \r\n0\r\n", "a: b\r\n" * 1000),
}


async def slow(port: int, beginning: str, rest: str) -> bytes:
    """All that is answered to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(beginning.encode())

    async def trickle() -> None:
        with contextlib.suppress(ConnectionError):
            for byte in rest:
                await asyncio.sleep(ALLOWED / 5)
                writer.write(byte.encode())
                await writer.drain()

    trickling = asyncio.ensure_future(trickle())
    answer = b""
    try:
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(1000):
                    answer += part
    finally:
        trickling.cancel()
        await asyncio.wait({trickling})
        writer.close()
    return answer


def test_slow_requests(tmp_path: Path) -> None:
    allow_descriptors(3 * EACH * len(SLOW))
    bodies = [what for what, (beginning, _) in SLOW.items() if "\r\n\r\n" in beginning]

    async def scenario() -> None:
        settings = {"timeouts": {"request": ALLOWED}}
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url), **settings) as gateway:
            upstream.will(json_reply({}))
            before = gateway.descriptors()
            with gateway.growth_below(EACH * len(SLOW) * MEMORY):
                asking = {
                    what: [asyncio.ensure_future(slow(gateway.port, *parts)) for _ in range(EACH)]
                    for what, parts in SLOW.items()
                }
                async with Client(gateway.port, "/v1/models") as client:  # others are served meanwhile
                    assert await asyncio.wait_for(client.rest(), PATIENCE) == b"{}"
                for what, each in asking.items():
                    answers = [statuses(answer) for answer in await asyncio.gather(*each)]
                    # A byte that comes after the end may take the answer with it.
                    assert all(answer in ([408], []) for answer in answers), what
                    assert answers.count([408]) > EACH / 2, what
            await until(lambda: gateway.descriptors() <= before + 1)  # a connection to the upstream is kept
            await gateway.told(len(bodies) * EACH + 1)
            told = [record for record in gateway.records if record["status"] != 200]
            assert len(told) == len(bodies) * EACH
            assert {(record["status"], record["outcome"]) for record in told} <= {(408, "refused"), (499, "cancelled")}

    run(scenario())


def test_clients_that_do_not_read(tmp_path: Path) -> None:
    """Each holds what fits into the buffers on its way, and no more."""
    events = [chat_chunk("x" * 10_000)] * 2000

    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url)) as gateway:
            upstream.will(Reply(chunks=events, end="hang"))
            clients = [Post(gateway.port, CHAT, ask()) for _ in range(50)]
            with gateway.growth_below(150 << 20):  # of a gibibyte
                async with contextlib.AsyncExitStack() as leaving:
                    for client in clients:
                        await leaving.enter_async_context(client)
                        await client.headers()
                    await settled(upstream)
            await until(lambda: not upstream._tasks)

    run(scenario())


def test_clients_that_never_read_are_left(tmp_path: Path) -> None:
    events = [chat_chunk("x" * 10_000)] * 2000

    async def scenario() -> None:
        async with (
            Upstream() as upstream,
            attacked(tmp_path, route("/v1", upstream.url), timeouts={"send": 0.5}) as gateway,
        ):
            upstream.will(Reply(chunks=events, end="hang"))
            async with contextlib.AsyncExitStack() as staying:
                for _ in range(20):
                    await (await staying.enter_async_context(Post(gateway.port, CHAT, ask()))).headers()
                await until(lambda: not upstream._tasks)
                told = [record for record in await gateway.told(20) if record["route"] == "/v1"]
                assert {(record["status"], record["outcome"]) for record in told} == {(200, "cancelled")}

    run(scenario())


def test_a_client_that_reads_slowly_is_not_left(tmp_path: Path) -> None:
    """For longer than nothing leaves the gateway, whose kernel takes more when a third of what it holds has gone."""
    events = [chat_chunk("x" * 10_000)] * 1000

    async def is_served_on(pace: float) -> bool:
        async with (
            Upstream() as upstream,
            attacked(tmp_path, route("/v1", upstream.url), timeouts={"send": 0.3 * pace}) as gateway,
        ):
            upstream.will(Reply(chunks=events, end="hang"))
            async with Post(gateway.port, CHAT, ask(), receive_buffer=1 << 14) as client:
                for _ in range(40):
                    if not await client.read(1 << 14):
                        return False
                    await asyncio.sleep(0.05 * pace)
                assert len(client.body) < sum(map(len, events)) / 2
                served = bool(upstream._tasks) and gateway.records == []
            await until(lambda: not upstream._tasks)
            return served

    assert any(run(is_served_on(pace)) for pace in PACES)


async def settled(upstream: Upstream) -> None:
    """Nothing more is taken."""
    before = -1
    while (sent := sum(seen.sent for seen in upstream.seen)) != before:
        before = sent
        await asyncio.sleep(0.3)


@pytest.mark.parametrize(
    ("reply", "stream", "status"),
    [
        (Reply(delay=30), True, 502),
        (Reply(delay=30), False, 502),
        (Reply(chunks=[chat_chunk("Hel")], end="hang"), True, 200),
        (Reply(headers=[("content-type", "application/json")], chunks=[b"{"], end="hang"), False, 502),
    ],
)
def test_upstreams_that_hang(tmp_path: Path, reply: Reply, stream: bool, status: int) -> None:
    """Each wait has an end, which the client hears of."""

    async def scenario() -> None:
        timeouts = {"first_byte": 0.5, "answer": 0.5, "idle": 0.5, "hold": 0.2}
        async with (
            Upstream() as upstream,
            observed(tmp_path, route("/v1", upstream.url), timeouts=timeouts) as gateway,
            Post(gateway.port, CHAT, ask(stream=stream)) as client,
        ):
            upstream.will(reply)
            body = await asyncio.wait_for(client.rest(), PATIENCE)
            assert client.complete
            assert client.status in (status, 504)
            assert b'"error":{' in body
            await until(lambda: not upstream._tasks)
            (record,) = await gateway.told(1)
            assert record["outcome"] in ("upstream_error", "idle_timeout")

    run(scenario())
