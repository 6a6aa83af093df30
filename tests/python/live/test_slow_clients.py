"""A client that reads slowly, or not at all: the upstream waits for it, and the gateway keeps next to nothing."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from live.alone import PLANS, gateway_process
from live.client import Client
from live.events import Stream
from live.upstream import Exchange, Upstream
from live.watch import DESCRIPTORS, run, soon

MIB = 1 << 20
BLOCK = Stream(600, text_bytes=50)
"""About 64 KiB of events, sent over and over."""
BLOCKS = 100 * MIB // len(BLOCK.input)
SLOWLY = 1024
"""Bytes a second."""

pytestmark = pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="memory is read from /proc")


@pytest.mark.parametrize(("library", "path"), [("httpx", "/plain"), ("aiohttp", "/heartbeat"), ("aiohttp", "/tapped")])
def test_a_client_of_1_kib_a_second_and_100_mib(library: str, path: str) -> None:
    assert path in PLANS

    async def answer(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.bodies(BLOCK.input for _ in range(blocks))
        await exchange.end()

    async def scenario() -> None:
        nonlocal blocks
        async with Upstream() as upstream, gateway_process(upstream.url, library) as gateway:
            blocks = 50  # whatever a first stream needs is no growth
            upstream.expect(path, answer)
            async with Client(gateway.port, path) as client:
                assert await client.rest() == BLOCK.output * blocks

            blocks = BLOCKS
            exchange = upstream.expect(path, answer)
            before = gateway.memory()
            gateway.forget_peak()
            async with Client(gateway.port, path) as client:
                await soon(client.headers())
                await soon(exchange.stalls(2), 20)
                stalled_at = exchange.sent
                for _ in range(4):
                    await client.read(SLOWLY // 4)
                    await asyncio.sleep(0.25)
                growth = gateway.peak() - before
                # What went out is in the sockets' buffers on the way, and goes no further than the client reads.
                assert stalled_at < 30 * MIB
                assert exchange.sent - stalled_at < MIB

                received, expected = hashlib.sha256(), hashlib.sha256()
                while await client.read(1 << 18):
                    received.update(client.take())
                received.update(client.take())
                assert client.complete
                for _ in range(BLOCKS):
                    expected.update(BLOCK.output)
                assert received.digest() == expected.digest()
            at_full_speed = gateway.peak() - before
        print(
            f"\n{library}, {path[1:]}: stalled after {stalled_at / MIB:.1f} MiB,"
            f" the gateway grew by {growth / MIB:.2f} MiB, then at full speed {at_full_speed / MIB:.2f} MiB"
        )
        assert growth < 4 * MIB
        assert at_full_speed < 4 * MIB

    blocks = 0
    run(scenario())
