"""Looking at the first event before anything is sent: an early error still has a status to choose."""

from __future__ import annotations

import asyncio
import random

from live.client import Client
from live.events import COMMENT, Stream, pieces
from live.gateway import proxied
from live.servers import Server, every_library, every_server
from live.upstream import Exchange
from live.watch import named, run, soon

STREAM = Stream(10, comments=True)


@every_server
@every_library
def test_nothing_is_lost(server: Server, library: str) -> None:
    async def scenario() -> None:
        async with proxied(server, library) as (upstream, gateway, port):

            async def through(seed: int) -> None:
                path, source = f"/{seed}", random.Random(seed)
                start = b"\xef\xbb\xbfretry: 1\n\n" + COMMENT * source.randint(0, 3)

                async def answer(exchange: Exchange) -> None:
                    await exchange.head()
                    for piece in pieces(start + STREAM.input, source, 30):
                        await exchange.body(piece)
                        await asyncio.sleep(source.choice([0, 0, 0.001]))
                    await exchange.end()

                upstream.expect(path, answer)
                plan = gateway.plan(
                    path,
                    peeks=True,
                    heartbeat=source.choice([None, 3600, 1e-9]),
                    idle_timeout=source.choice([None, 3600]),
                    on_disconnect=source.choice(["cancel", "drain"]),
                )
                async with Client(port, path) as client:
                    output = await soon(client.rest())
                    assert client.status == 200
                    assert client.complete
                assert output.replace(b": keep-alive\n\n", b"") == start + STREAM.output
                assert await plan.outcome() == "completed"

            async with asyncio.TaskGroup() as group:
                for seed in range(20):
                    group.create_task(named(seed, through(seed)))

    run(scenario(), server.loop_factory)


async def reset(exchange: Exchange) -> None:
    await exchange.head()
    exchange.reset()


async def reset_before_the_headers(exchange: Exchange) -> None:
    exchange.reset()


async def reset_after_comments(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.body(COMMENT)
    await asyncio.sleep(0.01)
    exchange.reset()


async def fin_in_the_first_event(exchange: Exchange) -> None:
    await exchange.head(framing="close")
    await exchange.body(STREAM.sent[0][:20])


async def silence(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.body(COMMENT)
    await exchange.hang()


EARLY = {
    reset: "upstream_error",
    reset_before_the_headers: "upstream_error",
    reset_after_comments: "upstream_error",
    fin_in_the_first_event: "truncated",
    silence: "idle_timeout",
}


@every_server
@every_library
def test_an_early_error_becomes_a_502(server: Server, library: str) -> None:
    """In both ways to tell errors: an error event is for a stream that has begun."""

    async def scenario() -> None:
        async with proxied(server, library) as (upstream, gateway, port):

            async def through(path: str, script: object, outcome: str, errors: str, heartbeat: float | None) -> None:
                exchange = upstream.expect(path, script)
                idle_timeout = 0.1 if script is silence else None
                plan = gateway.plan(
                    path, peeks=True, opens_late=True, errors=errors, heartbeat=heartbeat, idle_timeout=idle_timeout
                )
                async with Client(port, path) as client:
                    output = await soon(client.rest())
                    assert client.status == 502
                    assert client.complete
                    assert output.startswith(b'{"error"')
                assert await plan.outcome() == outcome
                assert exchange.gone.is_set() or script is not silence

            async with asyncio.TaskGroup() as group:
                for script, outcome in EARLY.items():
                    for errors in ("raise", "event"):
                        for heartbeat in (None, 3600, 0.01):
                            path = f"/{script.__name__}/{errors}/{heartbeat}"
                            group.create_task(named(path, through(path, script, outcome, errors, heartbeat)))

    run(scenario(), server.loop_factory)


@every_server
def test_a_client_that_leaves_while_the_gateway_peeks(server: Server) -> None:
    """A server tells it when the response begins: the upstream is let go with its first event."""

    async def scenario() -> None:
        goes_on = asyncio.Event()

        async def answer(exchange: Exchange) -> None:
            await exchange.head()
            await goes_on.wait()
            await exchange.body(STREAM.sent[0])
            await exchange.hang()

        async with proxied(server) as (upstream, gateway, port):
            exchange = upstream.expect("/", answer)
            plan = gateway.plan("/", peeks=True)
            async with Client(port, "/") as client:
                await soon(exchange.asked.wait())
                client.close()
                goes_on.set()
                await soon(exchange.gone.wait())
                assert await plan.outcome() == "cancelled"

    run(scenario(), server.loop_factory)
