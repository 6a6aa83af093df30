"""A gateway under attack, and a stream through it that must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from live.client import Client
from live.events import DONE
from live.upstream import Exchange
from live.upstream import Upstream as Scripted

from gateway.observed import Observed, observed, route, until

PATH = "/witness/v1/chat/completions"
PACE = 0.005
LONGEST_SILENCE = 10.0
"""Seconds between two events at the client; generous, for a machine that does other things meanwhile."""
RULES = [{"op": "replace", "path": "$.model", "value": "ours"}]


class Witness:
    """One event every few milliseconds, until it is stopped."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._expected = bytearray()
        self.longest_silence = 0.0

    async def send(self, exchange: Exchange) -> None:
        await exchange.head()
        for number in itertools.count():
            await self._event(exchange, b'data: {"model":"%b","n":' + b"%d}\n\n" % number)
            if self._stop.is_set():
                break
            await asyncio.sleep(PACE)
        await self._event(exchange, DONE)
        await exchange.end()

    async def _event(self, exchange: Exchange, event: bytes) -> None:
        self._expected += event.replace(b"%b", b"ours")
        await exchange.body(event.replace(b"%b", b"upstream-1"))

    async def watch(self, client: Client) -> None:
        before = time.perf_counter()
        while await client.read():
            now = time.perf_counter()
            self.longest_silence, before = max(self.longest_silence, now - before), now

    async def end(self, client: Client, watching: asyncio.Future[None]) -> None:
        self._stop.set()
        await watching
        assert client.complete
        assert client.body == self._expected
        assert self.longest_silence < LONGEST_SILENCE


@contextlib.asynccontextmanager
async def attacked(directory: Path, *routes: Mapping[str, Any], **settings: Any) -> AsyncIterator[Observed]:
    """A gateway with these routes and, until the end of the block, a witness through it."""
    async with Scripted() as upstream:
        witness = Witness()
        upstream.expect(PATH, witness.send)
        async with observed(directory, *routes, route("/witness", upstream.url, rules=RULES), **settings) as gateway:
            async with Client(gateway.port, PATH) as client:
                await client.headers()
                watching = asyncio.ensure_future(witness.watch(client))
                try:
                    yield gateway
                    await witness.end(client, watching)
                finally:
                    watching.cancel()
            await until(lambda: told(gateway))
            assert told(gateway) == ["completed"]


def told(gateway: Observed) -> list[str]:
    """What the gateway says of the witness."""
    return [record["outcome"] for record in gateway.records if record["route"] == "/witness"]
