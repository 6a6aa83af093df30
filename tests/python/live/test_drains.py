"""A client leaves, and the upstream is read on: for the bill and for the logs, up to a limit."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from sse_fast import Rewriter
from sse_fast.aio import RewriteStream, StreamReport, Tap

from live.client import Client
from live.events import RULES, USAGE, Stream, pieces
from live.gateway import proxied
from live.servers import SERVERS, Server, every_library, every_server
from live.upstream import Exchange
from live.watch import named, run, soon

STREAM = Stream(30)
SEEN = 5
SHORT = 0.2
LONG = 3600.0


@every_server
@every_library
def test_captures_and_taps_get_the_rest(server: Server, library: str) -> None:
    async def scenario() -> None:
        async with proxied(server, library) as (upstream, gateway, port):

            async def left(number: int) -> None:
                path = f"/{number}"
                streams: list[RewriteStream] = []
                taps: list[Tap] = []

                async def answer(exchange: Exchange) -> None:
                    await exchange.head()
                    await exchange.bodies(STREAM.sent[:SEEN])
                    while not (streams and streams[0].report.outcome):  # the gateway hears that the client has left
                        await asyncio.sleep(0.001)
                    await exchange.bodies(pieces(b"".join(STREAM.sent[SEEN:]), random.Random(number)))
                    await exchange.end()

                def attach(stream: RewriteStream) -> None:
                    streams.append(stream)
                    taps.extend([stream.tap("upstream"), stream.tap("client")])

                exchange = upstream.expect(path, answer)
                options: dict[str, Any] = {"heartbeat": LONG} if number % 2 else {}
                plan = gateway.plan(
                    path,
                    on_disconnect="drain",
                    opens_late=number % 3 == 0,
                    prepare=attach,
                    **options,
                )
                async with Client(port, path) as client:
                    await soon(client.until(len(b"".join(STREAM.expected[:SEEN]))))
                    (client.reset if number % 4 < 2 else client.close)()
                report = await plan.report()
                assert report.outcome == "cancelled"
                assert report.captured["usage"] == USAGE
                assert report.error is None
                assert not exchange.gone.is_set() or exchange.ended
                assert await soon(taps[0].read()) == STREAM.input
                assert await soon(taps[1].read()) == b"".join(STREAM.expected[:SEEN])

            async with asyncio.TaskGroup() as group:
                for number in range(12):
                    group.create_task(named(number, left(number)))

    run(scenario(), server.loop_factory)


@every_server
@every_library
def test_it_stops_at_its_timeout(server: Server, library: str) -> None:
    async def never_ends(exchange: Exchange) -> None:
        await exchange.head()
        while True:
            await exchange.bodies(STREAM.sent[:SEEN])
            await asyncio.sleep(0.01)

    async def falls_silent(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.bodies(STREAM.sent[:SEEN])
        await exchange.hang()

    async def scenario() -> None:
        async with proxied(server, library) as (upstream, gateway, port):

            async def left(script: Any) -> None:
                path = f"/{script.__name__}"
                exchange = upstream.expect(path, script)
                plan = gateway.plan(path, on_disconnect="drain", drain_timeout=SHORT)
                async with Client(port, path) as client:
                    await soon(client.until(1))
                    left_at = time.perf_counter()
                    client.close()
                    await soon(exchange.gone.wait())
                assert exchange.gone_at - left_at >= SHORT * 0.9
                report = await plan.report()
                assert report.outcome == "cancelled"

            async with asyncio.TaskGroup() as group:
                for script in (never_ends, falls_silent):
                    group.create_task(left(script))

    run(scenario(), server.loop_factory)


@every_library
def test_an_upstream_that_dies_while_it_is_drained(library: str) -> None:
    server = SERVERS[0]
    streams: list[RewriteStream] = []

    async def die(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.bodies(STREAM.sent[:SEEN])
        while not (streams and streams[0].report.outcome):  # the gateway hears that the client has left
            await asyncio.sleep(0.001)
        exchange.reset()

    async def scenario() -> None:
        async with proxied(server, library) as (upstream, gateway, port):
            upstream.expect("/", die)
            plan = gateway.plan("/", on_disconnect="drain", errors="event", prepare=streams.append)
            async with Client(port, "/") as client:
                await soon(client.until(1))
                client.close()
            report = await plan.report()
            assert report.outcome == "cancelled"
            assert report.error is not None

    run(scenario())


def test_a_client_that_leaves_after_the_last_event_leaves_nothing_to_drain() -> None:
    server = SERVERS[0]

    async def stay_open(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.bodies(STREAM.sent)
        await exchange.hang()

    async def scenario() -> None:
        async with proxied(server) as (upstream, gateway, port):
            exchange = upstream.expect("/", stay_open)
            plan = gateway.plan("/", on_disconnect="drain", drain_timeout=LONG)
            async with Client(port, "/") as client:
                await soon(client.until(len(STREAM.output)))
                client.close()
                await soon(exchange.gone.wait())
            report = await plan.report()
            assert report.outcome == "completed"
            assert report.captured["usage"] == USAGE

    run(scenario())


def test_a_loop_that_ends_ends_the_drain() -> None:
    closed: list[bool] = []
    reports: list[StreamReport] = []

    async def source() -> Any:
        try:
            yield STREAM.sent[0]
            await asyncio.sleep(LONG)
        finally:
            closed.append(True)

    async def main() -> None:
        async with RewriteStream(source(), Rewriter(RULES), on_disconnect="drain", on_end=reports.append) as stream:
            await anext(stream)

    asyncio.run(main())
    assert closed == [True]
    assert [report.outcome for report in reports] == ["cancelled"]
