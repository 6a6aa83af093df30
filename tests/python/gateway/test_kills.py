"""Ends: of the gateway by signals, with streams open, and of its upstreams under load."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from live.watch import allow_descriptors, run

from gateway.bodies import CHAT, CHAT_STREAM, DONE, MESSAGES, ask, event
from gateway.observed import PATIENCE, Observed, Post, observed, route, until
from gateway.running import interrupted
from gateway.upstream import Reply, Upstream, reset

EACH = 50
MESSAGES_STREAM = [
    event({"type": "message_start", "message": {"model": "real-1", "usage": {"input_tokens": 5}}}, "message_start"),
    event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, "message_delta"),
    event({"type": "message_stop"}, "message_stop"),
]
LAST_WORDS = "the gateway is shutting down"
APIS = {"chat": (CHAT, CHAT_STREAM), "messages": (MESSAGES, MESSAGES_STREAM)}
ALIAS = {"models": {"fast": "real-1"}}


def seen(chunks: list[bytes]) -> bytes:
    """What clients get of these."""
    return b"".join(chunks).replace(b"real-1", b"fast")


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_with_200_open_streams(tmp_path: Path, workers: int) -> None:
    allow_descriptors(2000)

    async def read(client: Post, api: str, fate: str) -> None:
        path, stream = APIS[api]
        body = await client.rest()
        assert client.complete
        if fate == "ends":
            assert body == seen(stream)
        else:
            first = seen(stream[:1])
            assert body.startswith(first)
            (last,) = [block for block in body.removeprefix(first).split(b"\n\n") if block]
            assert LAST_WORDS.encode() in last
            assert last.startswith(b"event: error\ndata: {" if path == MESSAGES else b"data: {")
            assert b'"error":{' in last

    async def scenario() -> None:
        kinds = [(api, fate) for api in APIS for fate in ("ends", "hangs")]
        async with Upstream() as chat, Upstream() as chat_2, Upstream() as messages, Upstream() as messages_2:
            upstreams = dict(zip(kinds, (chat, chat_2, messages, messages_2), strict=True))
            for (api, fate), upstream in upstreams.items():
                first, *rest = APIS[api][1]
                upstream.will(
                    Reply(chunks=[first, 1.5, *rest]) if fate == "ends" else Reply(chunks=[first], end="hang")
                )
            routes = [route(f"/{api}/{fate}", upstreams[api, fate].url, **ALIAS) for api, fate in kinds]
            async with observed(tmp_path, *routes, workers=workers, shutdown_grace=4.0) as gateway:
                async with asyncio.timeout(PATIENCE), AsyncExitStack() as clients, asyncio.TaskGroup() as group:
                    for api, fate in kinds:
                        path, (first, *_) = APIS[api]
                        for _ in range(EACH):
                            post = Post(gateway.port, f"/{api}/{fate}{path}", ask())
                            client = await clients.enter_async_context(post)
                            await client.until(len(seen([first])))
                            group.create_task(read(client, api, fate))
                    gateway.signal(signal.SIGTERM)
                    await until_refused(gateway.port)
                assert await gateway.ended() == 0
            outcomes = Counter((record["route"], record["status"], record["outcome"]) for record in gateway.records)
            expected = {"ends": "completed", "hangs": "refused"}
            assert outcomes == {(f"/{api}/{fate}", 200, expected[fate]): EACH for api, fate in kinds}
            for upstream in upstreams.values():
                await until(lambda upstream=upstream: not upstream._tasks)  # type: ignore[misc]

    run(scenario())


async def until_refused(port: int) -> None:
    """A balancer must see at once that nobody takes connections here any more."""
    async with asyncio.timeout(2.5):  # within the grace
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                pass  # the listener was closed just when it connected
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("signals", "workers"), [("TERM TERM", 1), ("TERM TERM", 2), ("INT TERM", 1), ("TERM INT", 2), ("INT INT", 1)]
)
def test_a_second_signal(tmp_path: Path, signals: str, workers: int) -> None:
    """A second SIGINT means: at once. Nothing else cuts the grace short, and nothing is told twice."""
    at_once = signals.endswith(" INT")

    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(Reply(chunks=CHAT_STREAM[:1], end="hang"))
            grace = PATIENCE * 2 if at_once else 1.5
            async with (
                observed(tmp_path, route("/v1", upstream.url), workers=workers, shutdown_grace=grace) as gateway,
                Post(gateway.port, CHAT, ask()) as client,
            ):
                await client.until(len(CHAT_STREAM[0]))
                pids = {gateway.gateway.process.pid, *gateway.workers}

                def send(name: str) -> None:
                    for pid in pids:  # as a terminal does, and systemd
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, getattr(signal, f"SIG{name}"))

                first, second = signals.split()
                send(first)
                await asyncio.sleep(0.7)
                reading = asyncio.ensure_future(client.rest())
                if at_once:
                    body = await asyncio.wait_for(interrupted(reading, lambda: send(second)), PATIENCE)
                else:
                    send(second)
                    body = await asyncio.wait_for(reading, PATIENCE)
                assert at_once or (client.complete and LAST_WORDS.encode() in body)
                assert await gateway.ended() in ((0, 130) if "INT" in signals else (0,))
                assert [record["outcome"] in ("refused", "cancelled") for record in gateway.records] == [True]

    run(scenario())


class Mortal(Upstream):
    """Can be killed, and comes back on the same port."""

    async def __aenter__(self) -> Mortal:
        self._writers: set[asyncio.StreamWriter] = set()
        return await super().__aenter__()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await super()._connected(reader, writer)
        finally:
            self._writers.discard(writer)

    def die(self) -> None:
        self._server.close()
        for writer in self._writers:
            reset(writer)

    async def rise(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, backlog=1024)


PACED: list[bytes | float] = [each for chunk in CHAT_STREAM for each in (chunk, 0.03)]
WHOLE = b"".join(CHAT_STREAM)


async def request(gateway: Observed) -> str:
    """What comes of one, which must be one of these things."""
    async with asyncio.timeout(PATIENCE), Post(gateway.port, CHAT, ask()) as client:
        body = await client.rest()
    assert client.complete
    if client.status == 502:
        assert body.startswith(b'{"error":{')
        return "failed"
    assert client.status == 200
    if body == WHOLE:
        return "whole"
    *events, last, end = body.split(b"\n\n")
    assert WHOLE.startswith(b"".join(each + b"\n\n" for each in events))
    assert b'"error":{"message":"the upstream failed' in last
    assert end == b""
    assert not body.endswith(DONE)
    return "cut"


@pytest.mark.parametrize("fallback", [False, True])
def test_an_upstream_is_restarted_under_load(tmp_path: Path, fallback: bool) -> None:
    async def scenario() -> None:
        phase, fates = "before", Counter[tuple[str, str]]()

        async def load() -> None:
            while fates["after", "whole"] < 200:
                began = phase
                fate = await request(gateway)
                if began == phase:
                    fates[phase, fate] += 1
                else:
                    fates[f"{began} to {phase}", fate] += 1
                await asyncio.sleep(0.005)

        async with Mortal() as first, Upstream() as second:
            first.will(Reply(chunks=PACED))
            second.will(Reply(chunks=PACED))
            urls = [first.url, second.url] if fallback else [first.url]
            async with observed(tmp_path, route("/v1", *urls)) as gateway:
                async with asyncio.TaskGroup() as group:
                    for _ in range(40):
                        group.create_task(load())
                    await until(lambda: fates["before", "whole"] > 100, lambda: fates)
                    phase = "down"
                    first.die()
                    await until(lambda: sum(each for (when, _), each in fates.items() if when == "down") > 100)
                    await first.rise()
                    phase = "after"
                requests = sum(fates.values())
                await gateway.told(requests)
                assert len(gateway.records) == requests
            of = {when: {fate for (each, fate), count in fates.items() if each == when and count} for when, _ in fates}
            assert of["before"] == {"whole"}
            assert "cut" in of["before to down"]
            assert of["down"] == ({"whole"} if fallback else {"failed"})
            assert of["after"] == {"whole"}
            assert not fallback or not any(fate == "failed" and count for (_, fate), count in fates.items())
            outcomes = Counter(record["outcome"] for record in gateway.records)
            assert outcomes["completed"] == sum(count for (_, fate), count in fates.items() if fate == "whole")
            assert set(outcomes) == {"completed", "upstream_error"}

    run(scenario())
