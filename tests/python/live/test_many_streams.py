"""Thousands of streams through one loop, none mixed up with another."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random

from live.client import Client
from live.events import Stream, pieces
from live.gateway import proxied
from live.servers import Server, every_server
from live.upstream import Exchange
from live.watch import allow_descriptors, run

STREAMS = int(os.environ.get("SSE_FAST_LIVE_STREAMS", "2000"))
EVENTS = 8


@every_server
def test_2000_streams_at_once(server: Server) -> None:
    allow_descriptors(4 * STREAMS + 500)  # two connections a stream, both ends of them here

    async def scenario() -> None:
        everyone_is_here = asyncio.Barrier(STREAMS)

        async def answer(exchange: Exchange, number: int) -> None:
            source = random.Random(number)
            cuts = list(pieces(Stream(EVENTS, seed=number).input, source, 250))
            await exchange.head()
            await exchange.bodies(cuts[:1])
            async with everyone_is_here:  # no stream ends before all have begun
                await exchange.bodies(cuts[1:])
            await exchange.end()

        async def read(port: int, number: int) -> None:
            async with Client(port, f"/{number}") as client:
                output = await client.rest()
            assert client.complete
            assert hashlib.sha256(output).digest() == hashlib.sha256(Stream(EVENTS, seed=number).output).digest()

        async with proxied(server, "aiohttp") as (upstream, gateway, port):
            for number in range(STREAMS):
                upstream.expect(f"/{number}", lambda exchange, number=number: answer(exchange, number))
                gateway.plan(f"/{number}", heartbeat=3600 if number % 2 else None)
            async with asyncio.TaskGroup() as group:
                for number in range(STREAMS):
                    group.create_task(read(port, number))
            outcomes = [report.outcome for plan in gateway.plans.values() for report in plan.reports]
            assert outcomes == ["completed"] * STREAMS

    run(scenario(), server.loop_factory, seconds=180)
