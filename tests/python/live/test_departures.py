"""Clients that leave, in every way and at any time: the upstream is let go at once, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from live.client import Client
from live.events import Stream, pieces
from live.gateway import Gateway, proxied
from live.servers import SERVERS, Server, every_library, every_server
from live.upstream import Exchange, Upstream
from live.watch import TRIALS, run, soon

BOUND = 10.0
"""Seconds until the upstream must know, far beyond the 100 ms promised: a busy machine is no fault of ours."""
AT_ONCE = 8
"""Trials that run at the same time."""
HEARTBEAT = 0.02
KEEP_ALIVE = b": keep-alive\n\n"
SMALL_BUFFER = 1 << 14
"""Of the sockets, so that they are full soon."""


class Moment:
    """When the client leaves: what the upstream does until then, and how the client gets there."""

    options: ClassVar[dict[str, Any]] = {}
    opens_late: bool | None = None
    receive_buffer: int | None = None
    ways_to_leave: ClassVar[list[Callable[[Client], None]]] = [Client.close, Client.reset, Client.half_close]

    def __init__(self, number: int) -> None:
        self.source = random.Random(number)
        self.stream = Stream(20, seed=number)
        self.seen = self.source.randint(1, 10)
        self.in_place = asyncio.Event()

    async def serve(self, exchange: Exchange) -> None:
        await self.respond(exchange)
        self.in_place.set()
        await exchange.hang()

    async def respond(self, exchange: Exchange) -> None:
        raise NotImplementedError

    async def come(self, client: Client, exchange: Exchange) -> None:
        await client.headers()
        await self.in_place.wait()


class BeforeTheHeaders(Moment):
    """The upstream has not even answered."""

    opens_late = True

    async def respond(self, exchange: Exchange) -> None:
        pass

    async def come(self, client: Client, exchange: Exchange) -> None:
        await self.in_place.wait()


class BeforeTheFirstByte(Moment):
    async def respond(self, exchange: Exchange) -> None:
        await exchange.head(framing=self.source.choice(["chunked", "close"]))


class BetweenEvents(Moment):
    async def respond(self, exchange: Exchange) -> None:
        await exchange.head()
        await exchange.bodies(self.stream.sent[: self.seen])

    async def come(self, client: Client, exchange: Exchange) -> None:
        await client.until(len(b"".join(self.stream.expected[: self.seen])))


class MidEvent(BetweenEvents):
    async def respond(self, exchange: Exchange) -> None:
        await exchange.head()
        await exchange.bodies(pieces(b"".join(self.stream.sent[: self.seen]), self.source))
        await exchange.body(self.stream.sent[self.seen][: self.source.randint(1, 40)])

    async def come(self, client: Client, exchange: Exchange) -> None:
        await super().come(client, exchange)
        await self.in_place.wait()


class AmidTheFlow(Moment):
    """Events come as fast as they can."""

    async def respond(self, exchange: Exchange) -> None:
        await exchange.head()
        while True:
            await exchange.bodies(self.stream.sent[:5])
            await asyncio.sleep(0)

    async def come(self, client: Client, exchange: Exchange) -> None:
        await client.until(self.source.randint(1, 20_000))


class WithAFullPipe(AmidTheFlow):
    """The client does not read any more; the gateway waits in its send, the upstream in its write."""

    receive_buffer = SMALL_BUFFER
    # A server cannot see a FIN before its buffer is empty.
    ways_to_leave: ClassVar[list[Callable[[Client], None]]] = [Client.close, Client.reset]

    async def come(self, client: Client, exchange: Exchange) -> None:
        await client.until(1)
        await exchange.stalls(0.02, enough=1 << 18)  # more than the sockets to the client hold


class WhileAHeartbeatIsDue(Moment):
    options: ClassVar[dict[str, Any]] = {"heartbeat": HEARTBEAT}

    async def respond(self, exchange: Exchange) -> None:
        await exchange.head()
        await exchange.bodies(self.stream.sent[:1])

    async def come(self, client: Client, exchange: Exchange) -> None:
        beats = self.source.randint(1, 3)
        while client.body.count(KEEP_ALIVE) < beats:
            assert await client.read()
        await asyncio.sleep(HEARTBEAT * self.source.uniform(0.7, 1.3))


MOMENTS: list[type[Moment]] = [
    BeforeTheHeaders,
    BeforeTheFirstByte,
    BetweenEvents,
    MidEvent,
    AmidTheFlow,
    WithAFullPipe,
    WhileAHeartbeatIsDue,
]


async def trial(number: int, upstream: Upstream, gateway: Gateway, port: int) -> float:
    """Seconds from a client's leaving to the upstream's seeing it; all else is drawn from the number."""
    source = random.Random(number)
    moment = source.choice(MOMENTS)(number)
    leave = source.choice(moment.ways_to_leave)
    options = {"heartbeat": source.choice([None, 3600]), "idle_timeout": source.choice([None, None, 3600])}
    plan = gateway.plan(
        f"/{number}",
        opens_late=source.random() < 0.3 if moment.opens_late is None else moment.opens_late,
        prepare=source.choice([None, lambda stream: stream.tap("client")]),
        **{"errors": source.choice(["raise", "event"]), **options, **moment.options},
    )
    exchange = upstream.expect(f"/{number}", moment.serve)
    try:
        async with Client(port, f"/{number}", receive_buffer=moment.receive_buffer) as client:
            await soon(moment.come(client, exchange))
            leave(client)
            async with asyncio.timeout(BOUND):
                await exchange.gone.wait()
                assert await plan.outcome() == "cancelled"
    except BaseException as error:
        error.add_note(f"trial {number}: {leave.__name__}, {moment.__class__.__name__}, {plan}")
        raise
    return exchange.gone_at - client.left_at


async def trials(server: Server, library: str, numbers: range) -> list[float]:
    waits: list[float] = []
    async with (
        proxied(server, library, buffers=SMALL_BUFFER) as (upstream, gateway, port),
        asyncio.TaskGroup() as group,
    ):
        remaining = iter(numbers)

        async def one_after_the_other() -> None:
            for number in remaining:
                waits.append(await trial(number, upstream, gateway, port))

        for _ in range(AT_ONCE):
            group.create_task(one_after_the_other())
    return sorted(waits)


@every_library
@every_server
def test_1000_clients_that_leave(server: Server, library: str) -> None:
    share = -(-TRIALS // (2 * len(SERVERS)))
    first = share * (SERVERS.index(server) + len(SERVERS) * (library == "aiohttp"))
    waits = run(trials(server, library, range(first, first + share)), server.loop_factory, seconds=60 + share / 5)
    assert len(waits) == share
    median, most, slowest = (1000 * waits[min(int(share * part), share - 1)] for part in (0.5, 0.99, 1))
    late = sum(wait > 0.1 for wait in waits)
    print(
        f"\n{server}, {library}: {share} upstreams closed in {median:.2f} ms (median), {most:.2f} (99 %),"
        f" {slowest:.2f} (slowest); {late} in more than 100 ms"
    )


@every_server
def test_clients_that_leave_before_anything_has_happened(server: Server) -> None:
    """Some before the gateway has heard of them, some before it has asked its upstream."""

    async def answer(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.body(Stream(1).sent[0])
        await exchange.hang()

    async def scenario() -> None:
        async with proxied(server) as (upstream, gateway, port):
            exchanges, plans = [], []
            for number in range(60):
                exchanges.append(upstream.expect(f"/{number}", answer))
                plans.append(gateway.plan(f"/{number}", opens_late=number % 2 == 0))
                async with Client(port, f"/{number}") as client:
                    for _ in range(number // 3):
                        await asyncio.sleep(0)
                    (client.close if number % 4 < 2 else client.reset)()
            async with Client(port, "/none") as client:  # by then it has heard of all before
                gateway.plan("/none", opens_late=True)
                await soon(client.headers())
            async with asyncio.timeout(BOUND):
                for exchange, plan in zip(exchanges, plans, strict=True):
                    while exchange.asked.is_set() and not exchange.gone.is_set():
                        await asyncio.sleep(0.01)
                    while exchange.asked.is_set() and not plan.over.is_set():
                        await asyncio.sleep(0.01)
            assert {report.outcome for plan in plans for report in plan.reports} == {"cancelled"}
            assert all(len(plan.reports) <= 1 for plan in plans)

    run(scenario(), server.loop_factory)


@pytest.mark.parametrize("heartbeat", [None, 3600])
@pytest.mark.parametrize("uvloop", [False, True])
def test_a_server_that_stops(uvloop: bool, heartbeat: float | None) -> None:
    """It cancels what runs beyond its patience: the upstreams are let go all the same."""
    server = SERVERS[1 if uvloop else 0]

    async def answer(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.body(Stream(1).sent[0])
        await exchange.hang()

    async def scenario() -> None:
        async with Upstream() as upstream, Gateway(upstream.url) as gateway, contextlib.AsyncExitStack() as clients:
            exchanges, plans = [], []
            async with server.serve(gateway.app, patience=0) as port:
                for number in range(5):
                    exchanges.append(upstream.expect(f"/{number}", answer))
                    plans.append(gateway.plan(f"/{number}", heartbeat=heartbeat))
                    client = await clients.enter_async_context(Client(port, f"/{number}"))
                    await soon(client.until(1))
            for exchange, plan in zip(exchanges, plans, strict=True):
                await soon(exchange.gone.wait())
                assert await plan.outcome() == "cancelled"

    run(scenario(), server.loop_factory)
