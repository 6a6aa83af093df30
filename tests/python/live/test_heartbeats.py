"""Keep-alives in idle time: between events only, never behind the last one, and no sign of life of the upstream."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from sse_fast import Parser

from live.client import Client
from live.events import COMMENT, Stream, large_event, pieces, without
from live.gateway import proxied
from live.servers import SERVERS, Server, every_library, every_server
from live.upstream import Exchange
from live.watch import PACES, named, run, soon

BEAT = 0.01
KEEP_ALIVE = b": keep-alive\n\n"
LONG = 3600.0


class Listener:
    """A client that counts keep-alives as they come."""

    def __init__(self, keep_alive: bytes = KEEP_ALIVE) -> None:
        self.keep_alive = keep_alive
        self.beats = 0
        self.beat = asyncio.Condition()

    async def listen(self, client: Client) -> None:
        while await client.read():
            count = client.body.count(self.keep_alive)
            if count != self.beats:
                async with self.beat:
                    self.beats = count
                    self.beat.notify_all()

    async def another(self) -> None:
        async with self.beat:
            before = self.beats
            await soon(self.beat.wait_for(lambda: self.beats > before))


@every_server
@every_library
def test_none_lands_inside_an_event(server: Server, library: str) -> None:
    """The stream is cut anywhere, and at many cuts the upstream waits until a keep-alive has come."""

    async def scenario() -> None:
        async with proxied(server, library) as (upstream, gateway, port):

            async def through(seed: int) -> None:
                path, source, listener = f"/{seed}", random.Random(seed), Listener()
                stream = Stream(12, seed=seed, comments=True)

                async def answer(exchange: Exchange) -> None:
                    await exchange.head()
                    for piece in pieces(stream.input, source):
                        await exchange.body(piece)
                        if source.random() < 0.3 and not sent_all_of(stream, exchange):
                            await listener.another()
                    await exchange.end()

                upstream.expect(path, answer)
                plan = gateway.plan(path, heartbeat=BEAT)
                async with Client(port, path) as client:
                    await soon(listener.listen(client))
                    assert client.complete
                    output, beats = without(bytes(client.body), KEEP_ALIVE)
                assert output == stream.output
                assert beats == listener.beats > 0
                assert await plan.outcome() == "completed"

            async with asyncio.TaskGroup() as group:
                for seed in range(20):
                    group.create_task(named(seed, through(seed)))

    run(scenario(), server.loop_factory)


def sent_all_of(stream: Stream, exchange: Exchange) -> bool:
    """The event that ends the stream is out: no keep-alive comes any more."""
    return exchange.sent >= len(stream.input) - len(b"\n")


@every_server
def test_none_lands_inside_an_event_that_is_larger_than_can_be_held(server: Server) -> None:
    """Half of it is out already, and waits for the rest in silence."""
    sent, expected = large_event(1 << 15)
    stream = Stream(2)

    async def scenario() -> None:
        listener = Listener()

        async def answer(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.body(stream.sent[0])
            await listener.another()
            for at in range(0, len(sent), 1 << 13):
                await exchange.body(sent[at : at + (1 << 13)])
                await asyncio.sleep(5 * BEAT)
            await listener.another()
            await exchange.body(b"".join(stream.sent[1:]))
            await exchange.end()

        async with proxied(server) as (upstream, gateway, port):
            upstream.expect("/", answer)
            gateway.plan("/", heartbeat=BEAT, rewriter={"max_held": 1 << 10})
            async with Client(port, "/") as client:
                await soon(listener.listen(client))
                output, beats = without(bytes(client.body), KEEP_ALIVE)
            assert output == stream.expected[0] + expected + b"".join(stream.expected[1:])
            assert beats > 1

    run(scenario(), server.loop_factory)


@every_server
def test_none_behind_the_last_event(server: Server) -> None:
    stream = Stream(3)

    async def answer(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.body(stream.input)
        await asyncio.sleep(10 * BEAT)
        await exchange.end()

    async def scenario() -> None:
        async with proxied(server) as (upstream, gateway, port):
            upstream.expect("/", answer)
            gateway.plan("/", heartbeat=BEAT)
            async with Client(port, "/") as client:
                assert (await soon(client.rest())).endswith(stream.output)

    run(scenario(), server.loop_factory)


@every_library
@pytest.mark.parametrize("alive", ["silent", "comments", "half an event"])
def test_they_do_not_feed_the_idle_timeout(library: str, alive: str) -> None:
    """Nor do the upstream's own comments, nor an event that never ends."""
    server = SERVERS[0]
    stream = Stream(3)

    async def answer(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.body(stream.sent[0])
        while alive != "silent":
            await exchange.body(COMMENT if alive == "comments" else b": half an event\n")
            await asyncio.sleep(BEAT / 2)
        await exchange.hang()

    async def scenario() -> None:
        async with proxied(server, library) as (upstream, gateway, port):
            exchange = upstream.expect("/", answer)
            plan = gateway.plan("/", heartbeat=BEAT, idle_timeout=20 * BEAT, errors="event")
            async with Client(port, "/") as client:
                output = await soon(client.rest())
                assert client.complete
            await soon(exchange.gone.wait())
            output, beats = without(output.replace(COMMENT, b""), KEEP_ALIVE)
            assert beats > 0 or alive == "comments"
            assert output.startswith(stream.expected[0] + b"event: error\n")
            assert await plan.outcome() == "idle_timeout"

    run(scenario())


def test_events_with_data_feed_the_idle_timeout() -> None:
    server = SERVERS[0]
    stream = Stream(12)

    async def scenario(pace: float) -> str | None:
        async def answer(exchange: Exchange) -> None:
            await exchange.head()
            for event in stream.sent:
                await exchange.body(event)
                await asyncio.sleep(0.1 * pace)
            await exchange.end()

        async with proxied(server) as (upstream, gateway, port):
            upstream.expect("/", answer)
            plan = gateway.plan("/", heartbeat=BEAT, idle_timeout=pace)  # less than all of it takes
            async with Client(port, "/") as client:
                output, beats = without(await client.rest(), KEEP_ALIVE)
            outcome = await plan.outcome()
            if outcome == "completed":
                assert output == stream.output
                assert beats > 0
            return outcome

    assert "completed" in (run(scenario(pace)) for pace in PACES)


def test_a_client_that_does_not_read_is_no_idle_upstream() -> None:
    server = SERVERS[0]
    stream = Stream(2000)

    async def answer(exchange: Exchange) -> None:
        await exchange.head()
        for _ in range(10):
            await exchange.body(stream.input)
        await exchange.end()

    async def scenario(pace: float) -> str | None:
        small = 1 << 14
        async with proxied(server, buffers=small) as (upstream, gateway, port):
            exchange = upstream.expect("/", answer)
            plan = gateway.plan("/", heartbeat=BEAT, idle_timeout=0.3 * pace)
            async with Client(port, "/", receive_buffer=small) as client:
                await soon(client.headers())
                await soon(exchange.stalls(0.05, enough=1 << 18))
                await asyncio.sleep(0.6 * pace)
                output, _ = without(await client.rest(), KEEP_ALIVE)
            outcome = await plan.outcome()
            assert output == stream.output * 10 or outcome != "completed"
            return outcome

    assert "completed" in (run(scenario(pace)) for pace in PACES)


def test_the_form_is_the_dialects() -> None:
    server = SERVERS[0]
    stream = Stream(2)

    class Messages:
        keep_alive = b'event: ping\ndata: {"type":"ping"}\n\n'

    async def scenario() -> None:
        listener = Listener(Messages.keep_alive)

        async def answer(exchange: Exchange) -> None:
            await exchange.head()
            await listener.another()  # before the first event; its BOM would be text behind it
            await exchange.body(b"\xef\xbb\xbf" + stream.sent[0] + stream.sent[1][:20])
            await listener.another()
            await exchange.body(stream.sent[1][20:] + b"".join(stream.sent[2:]))
            await exchange.end()

        async with proxied(server) as (upstream, gateway, port):
            upstream.expect("/", answer)
            gateway.plan("/", heartbeat=BEAT, dialect=Messages())
            async with Client(port, "/") as client:
                await soon(listener.listen(client))
            assert client.body.startswith(Messages.keep_alive)
            events: list[Any] = Parser().feed(client.body)
            expected: list[Any] = Parser().feed(stream.output)
            assert [event for event in events if event.event != "ping"] == expected

    run(scenario())
