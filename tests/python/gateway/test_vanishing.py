"""A thousand clients that vanish, each at a moment of its own: nothing is left of them, but a line in the log."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from live.client import Client
from live.watch import allow_descriptors, run

from gateway.bodies import CHAT, CHAT_STREAM, ask, chat_chunk
from gateway.observed import Observed, Post, observed, route, until
from gateway.upstream import Reply, Upstream

AT_ONCE = 100
EVENT = chat_chunk("Hel")
WAYS: list[Callable[[Client], None]] = [Client.close, Client.reset, Client.half_close]
MOMENTS = ["in the head", "in the body", "at once", "before the headers", "after the headers", "in the stream"]


class Vanishing:
    """One client; all of it is drawn from its number."""

    def __init__(self, number: int) -> None:
        self._source = random.Random(number)
        self.id = f"client-{number}"
        self.moment = self._source.choice(MOMENTS)
        self.leave = self._source.choice(WAYS)
        self.must_be_told = False
        """The gateway has had its whole head: a reset may take it away unread."""

    async def live(self, port: int) -> None:
        client = Post(port, CHAT, ask(), headers=f"x-request-id: {self.id}\r\n")
        request = client._request
        head = request.index(b"\r\n\r\n") + 4
        if self.moment == "in the head":
            client._request = request[: self._source.randrange(head - 1)]
        elif self.moment == "in the body":
            client._request = request[: self._source.randrange(head, len(request))]
        async with client:
            if self.moment == "before the headers":
                await asyncio.sleep(self._source.uniform(0, 0.1))
            elif self.moment == "after the headers":
                await client.headers()
            elif self.moment == "in the stream":
                await client.until(self._source.randint(1, 20 * len(EVENT)))
            self.must_be_told = self.moment.startswith("after") or self.moment == "in the stream"
            self.must_be_told |= self.moment != "in the head" and self.leave is not Client.reset
            self.leave(client)
            if self.leave is Client.half_close:
                await client.rest()


async def vanish(gateway: Observed, upstream: Upstream, numbers: range) -> list[Vanishing]:
    """So many clients; the gateway has told of all that it can have seen."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(client: Vanishing) -> None:
        async with places:
            await client.live(gateway.port)

    clients = [Vanishing(number) for number in numbers]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(one(client))
    due = {client.id for client in clients if client.must_be_told}
    due |= {id for request in upstream.seen for id in request.values("x-request-id")}
    await until(lambda: due <= {record["id"] for record in gateway.records}, lambda: due)
    await until(lambda: not upstream._tasks, lambda: f"{len(upstream._tasks)} connections to the upstream")
    return clients


@pytest.mark.parametrize("workers", [1, 2])
def test_1000_clients_that_vanish(tmp_path: Path, workers: int) -> None:
    allow_descriptors(4 * AT_ONCE + 500)

    async def scenario() -> None:
        async with Upstream() as upstream:
            source = random.Random(workers)
            paced: list[bytes | float] = [EVENT, 0.003] * 30
            upstream.will(*(Reply(delay=source.uniform(0, 0.1), chunks=paced, end="hang") for _ in range(1400)))
            async with observed(tmp_path, route("/v1", upstream.url, heartbeat=0.05), workers=workers) as gateway:
                await vanish(gateway, upstream, range(-300, 0))  # what a process keeps, it keeps now
                descriptors, memory = gateway.descriptors(), gateway.memory()
                gateway.records.clear()
                upstream.seen.clear()
                clients = await vanish(gateway, upstream, range(1000))
                await until(lambda: gateway.descriptors() <= descriptors, lambda: (gateway.descriptors(), descriptors))
                assert gateway.memory() - memory < 8 << 20
                assert await in_progress(gateway) == "0.0"
                ids = [record["id"] for record in gateway.records]
                assert len(ids) == len(set(ids))
                assert set(ids) <= {client.id for client in clients}
                assert {record["outcome"] for record in gateway.records} == {"cancelled"}
                statuses = Counter((record["status"], record["bytes_out"] > 0) for record in gateway.records)
                assert set(statuses) <= {(499, False), (200, False), (200, True)}
                assert statuses[499, False] > 200
                assert statuses[200, True] > 100
                upstream._replies[:] = [Reply(chunks=CHAT_STREAM)]
                async with Post(gateway.port, CHAT, ask()) as client:
                    assert await client.rest() == b"".join(CHAT_STREAM)

    run(scenario())


async def in_progress(gateway: Observed) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"http://127.0.0.1:{gateway.port}/metrics")).text
    return next(line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("sse_fast_streams "))


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("leave", WAYS)
def test_a_client_that_vanishes_with_a_second_request_waiting(
    tmp_path: Path, together: bool, leave: Callable[[Client], None]
) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(Reply(chunks=[EVENT], end="hang"))
            async with observed(tmp_path, route("/v1", upstream.url)) as gateway:
                second = b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n"
                client = Post(gateway.port, CHAT, ask())
                client._request += second * together
                async with client:
                    await client.until(len(EVENT))
                    if not together:
                        await asyncio.get_running_loop().sock_sendall(client._socket, second)
                        await asyncio.sleep(0.1)
                    leave(client)
                    await until(lambda: not upstream._tasks)
                    await gateway.told(1)
                assert [record["outcome"] for record in gateway.records] == ["cancelled"]

    run(scenario())


def test_clients_that_do_not_ask(tmp_path: Path) -> None:
    """Connections without a request, and ones with nothing but a beginning, cost a descriptor until they are closed."""

    async def scenario() -> None:
        async with Upstream() as upstream, observed(tmp_path, route("/v1", upstream.url)) as gateway:
            async with Client(gateway.port, "/healthz") as client:  # it has begun
                await client.headers()
                before = gateway.descriptors() - 1
            for beginning in (b"", b"POST /v1", b"\r\n", b"\x16\x03\x01"):
                writers = [(await asyncio.open_connection("127.0.0.1", gateway.port))[1] for _ in range(50)]
                for writer in writers:
                    writer.write(beginning)
                    await writer.drain()
                for writer in writers:
                    writer.close()
                    with contextlib.suppress(ConnectionError):
                        await writer.wait_closed()
                await until(lambda: gateway.descriptors() <= before)
            assert gateway.records == []

    run(scenario())
