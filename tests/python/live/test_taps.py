"""Taps for logs and metrics: whatever becomes of their readers, the client does not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sse_fast.aio import RewriteStream, Tap

from live.client import Client
from live.events import Stream
from live.gateway import proxied
from live.servers import SERVERS, Server, every_library, every_server
from live.upstream import Exchange
from live.watch import named, run, soon

STREAM = Stream(40, comments=True)
FEW = 1 << 10
Reader = Callable[[Tap], Awaitable[Any]]


async def never_reads(tap: Tap) -> None:
    pass


async def iterates(tap: Tap) -> bytes:
    return b"".join([piece async for piece in tap])


async def reads_at_the_end(tap: Tap) -> bytes:
    return await tap.read()


async def raises(tap: Tap) -> None:
    async for _ in tap:
        raise LookupError("a bug in the logger")


async def is_cancelled(tap: Tap) -> None:
    await anext(tap)
    asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)  # type: ignore[union-attr]
    async for _ in tap:
        pass


async def stops_early(tap: Tap) -> None:
    await anext(tap)
    tap.close()


async def never_comes_back(tap: Tap) -> None:
    await anext(tap)
    await asyncio.sleep(3600)


ONE_EACH: list[Reader] = [never_reads, iterates, reads_at_the_end, raises, is_cancelled, stops_early, never_comes_back]


@every_server
@every_library
def test_clients_do_not_notice_taps(server: Server, library: str) -> None:
    """The upstream sends an event when the client has the one before: any delay of a chunk would be one for ever."""

    async def scenario() -> None:
        async with proxied(server, library) as (upstream, gateway, port):

            async def through(name: str, readers: list[Reader], **options: Any) -> None:
                taken = asyncio.Semaphore(1)
                reading: list[asyncio.Task[Any]] = []
                taps: list[Tap] = []

                async def answer(exchange: Exchange) -> None:
                    await exchange.head()
                    for event in STREAM.sent:
                        await taken.acquire()
                        await exchange.body(event)
                    await exchange.end()

                def attach(stream: RewriteStream) -> None:
                    for number, reader in enumerate(readers):
                        taps.append(tap := stream.tap("client" if number % 2 else "upstream"))
                        reading.append(asyncio.ensure_future(reader(tap)))

                upstream.expect(name, answer)
                plan = gateway.plan(name, prepare=attach, **options)
                async with Client(port, name) as client:
                    received = 0
                    for event in STREAM.expected:
                        received += len(event)
                        await soon(client.until(received))
                        taken.release()
                    assert await soon(client.rest()) == STREAM.output
                    assert client.complete
                assert await plan.outcome() == "completed"
                for number, (reader, task) in enumerate(zip(readers, reading, strict=True)):
                    if reader is never_comes_back:
                        task.cancel()
                    (result,) = await soon(asyncio.gather(task, return_exceptions=True))
                    if reader in (iterates, reads_at_the_end):
                        assert result == (STREAM.output if number % 2 else STREAM.input)
                        assert not taps[number].truncated

            async with asyncio.TaskGroup() as group:
                for mode, options in {"plain": {}, "heartbeat": {"heartbeat": 3600}}.items():
                    for reader in ONE_EACH:
                        name = f"/{mode}/{reader.__name__}"
                        group.create_task(named(name, through(name, [reader] * 2, **options)))
                    group.create_task(named(mode, through(f"/{mode}/none", [], **options)))
                    group.create_task(named(mode, through(f"/{mode}/ten", [*ONE_EACH, *ONE_EACH[:3]], **options)))

    run(scenario(), server.loop_factory)


@pytest.mark.parametrize("side", ["upstream", "client"])
def test_a_tap_that_is_not_read_keeps_its_bound_and_says_so(side: Any) -> None:
    server = SERVERS[0]
    taps: list[Tap] = []

    async def answer(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.bodies(STREAM.sent)
        await exchange.end()

    async def scenario() -> None:
        async with proxied(server) as (upstream, gateway, port):
            upstream.expect("/", answer)
            gateway.plan("/", prepare=lambda stream: taps.append(stream.tap(side, max_bytes=FEW)))
            async with Client(port, "/") as client:
                assert await soon(client.rest()) == STREAM.output
            (tap,) = taps
            assert tap.truncated
            assert await tap.read() == (STREAM.input if side == "upstream" else STREAM.output)[:FEW]

    run(scenario())


def test_taps_end_with_a_stream_that_is_left_or_dies() -> None:
    server = SERVERS[0]

    async def hang(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.bodies(STREAM.sent[:3])
        await exchange.hang()

    async def die(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.bodies(STREAM.sent[:3])

    async def scenario() -> None:
        async with proxied(server) as (upstream, gateway, port):
            for path, script in (("/left", hang), ("/dies", die)):
                reading: list[asyncio.Task[bytes]] = []

                def attach(stream: RewriteStream, reading: list[Any] = reading) -> None:
                    for reader in (iterates, reads_at_the_end):
                        reading.append(asyncio.ensure_future(reader(stream.tap())))

                upstream.expect(path, script)
                gateway.plan(path, prepare=attach)
                async with Client(port, path) as client:
                    await soon(client.until(len(b"".join(STREAM.expected[:3]))))
                    client.close()
                for task in reading:
                    assert await soon(task) == b"".join(STREAM.sent[:3])

    run(scenario())
