"""``sse-fast gateway`` in processes of its own: how it begins, how it ends, and what it leaves on stdout and stderr."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from live.watch import run, soon

from gateway.bodies import CHAT, CHAT_BODY, CHAT_STREAM, MESSAGES, ask, chat_chunk
from gateway.running import client, interrupted, process
from gateway.upstream import Reply, Upstream, json_reply

SLOW = Reply(chunks=[CHAT_STREAM[0], 2.0, *CHAT_STREAM[1:]])
ENDLESS = Reply(chunks=[CHAT_STREAM[0]], end="hang")


def configuration(tmp_path: Path, upstream: Upstream, **settings: Any) -> Path:
    file = tmp_path / "gateway.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in {"listen": "127.0.0.1:0", **settings}.items()]
    route = ["[[routes]]", 'path = "/v1"', 'models = { fast = "real-1" }', "[[routes.upstreams]]"]
    file.write_text("\n".join([*lines, *route, f'url = "{upstream.url}"', ""]))
    return file


def test_it_serves_and_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream, process(configuration(tmp_path, upstream)) as gateway:
            upstream.will(Reply(chunks=CHAT_STREAM))
            async with client() as http:
                response = await http.post(gateway.url + CHAT, json=ask())
                assert response.content == b"".join(CHAT_STREAM).replace(b"real-1", b"fast")
                assert "server" not in response.headers
                assert (await http.get(gateway.url + "/healthz")).json() == {"status": "ok"}
            assert (await gateway.record())["outcome"] == "completed"
            gateway.terminate()
            assert await gateway.ended() == 0
            assert gateway.errors == b""
            assert await gateway.process.stdout.read() == b""

    run(scenario())


@pytest.mark.parametrize("workers", [1, 2])
def test_an_open_stream_may_end_by_itself(tmp_path: Path, workers: int) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(SLOW)
            file = configuration(tmp_path, upstream, shutdown_grace=30, workers=workers)
            async with process(file) as gateway, client() as http:
                async with http.stream("POST", gateway.url + CHAT, json=ask()) as response:
                    chunks = response.aiter_raw()
                    body = await anext(chunks)
                    gateway.terminate()
                    body += b"".join([chunk async for chunk in chunks])
                assert body == b"".join(CHAT_STREAM).replace(b"real-1", b"fast")
                assert (await gateway.record())["outcome"] == "completed"
                assert await soon(gateway.ended(), 20) == 0
                with pytest.raises(httpx.ConnectError):
                    await http.get(gateway.url + "/healthz")

    run(scenario())


@pytest.mark.parametrize(("path", "workers"), [(CHAT, 2), (MESSAGES, 1)])
def test_after_the_grace_it_ends_with_an_error_event(tmp_path: Path, path: str, workers: int) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(ENDLESS)
            file = configuration(tmp_path, upstream, shutdown_grace=0.5, workers=workers)
            async with process(file) as gateway, client() as http:
                async with http.stream("POST", gateway.url + path, json=ask()) as response:
                    chunks = response.aiter_raw()
                    first = await anext(chunks)
                    gateway.terminate()
                    rest = b"".join([chunk async for chunk in chunks])
                assert first.endswith(b"\n\n")
                assert b"the gateway is shutting down" in rest
                assert rest.startswith(b"event: error\n" if path == MESSAGES else b"data: ")
                await upstream.seen[0].gone.wait()
                record = await gateway.record()
                assert (record["status"], record["outcome"]) == (200, "refused")
                assert await soon(gateway.ended(), 20) == 0
                assert gateway.errors == b""

    run(scenario())


def test_what_has_no_answer_yet_gets_one_after_the_grace(tmp_path: Path) -> None:
    begun = Reply(headers=[("content-type", "audio/mpeg")], chunks=[b"{"], end="hang")  # it passes as it is
    replies = [Reply(delay=30), Reply(end="hang"), begun]

    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(*replies)
            async with process(configuration(tmp_path, upstream, shutdown_grace=0.3)) as gateway, client() as http:
                asking = []
                for number in range(len(replies)):
                    asking.append(asyncio.ensure_future(http.post(gateway.url + CHAT, json=ask())))
                    await upstream.asked(number + 1)
                await asyncio.sleep(0.1)
                gateway.terminate()
                for response in await asyncio.gather(*asking[:2]):
                    assert response.status_code == 503
                    assert response.json()["error"]["message"] == "the gateway is shutting down"
                with pytest.raises(httpx.RemoteProtocolError):
                    await asking[2]
                for seen in upstream.seen:
                    await seen.gone.wait()
                assert await soon(gateway.ended(), 20) == 0

    run(scenario())


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_and_once_more(tmp_path: Path, workers: int) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(ENDLESS)
            file = configuration(tmp_path, upstream, shutdown_grace=30, workers=workers)
            async with process(file, own_group=True) as gateway, client() as http:
                async with http.stream("POST", gateway.url + CHAT, json=ask()) as response:
                    reading = asyncio.ensure_future(response.aread())
                    # As a terminal does.
                    body = await interrupted(reading, lambda: os.killpg(gateway.process.pid, signal.SIGINT))
                    assert b"shutting down" in body
                assert (await gateway.record())["outcome"] == "refused"
                assert await soon(gateway.ended(), 20) == (130 if workers == 1 else 0)
                if workers == 1:  # of two, one may have been beginning
                    assert gateway.errors == b""

    run(scenario())


async def refused(url: str) -> bool:
    try:
        async with client() as http:
            await http.get(url + "/healthz")
    except httpx.ConnectError:
        return True
    except httpx.TransportError:  # it came in just before
        pass
    return False


def test_no_connection_is_taken_while_workers_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(ENDLESS)
            async with (
                process(configuration(tmp_path, upstream, workers=2, shutdown_grace=20)) as gateway,
                client() as http,
            ):
                async with http.stream("POST", gateway.url + CHAT, json=ask()):
                    gateway.terminate()
                    async with asyncio.timeout(10):
                        while not await refused(gateway.url):
                            await asyncio.sleep(0.05)
                assert await soon(gateway.ended(), 20) == 0

    run(scenario())


def test_workers_count_together(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(json_reply(CHAT_BODY))
            async with process(configuration(tmp_path, upstream), "--workers", "2") as gateway:
                for _ in range(20):
                    async with client() as http:
                        assert (await http.post(gateway.url + CHAT, json=ask())).status_code == 200
                records = [await gateway.record() for _ in range(20)]
                async with client() as http:
                    metrics = (await http.get(gateway.url + "/metrics")).text
                lines = [line for line in metrics.splitlines() if line.startswith("sse_fast_requests_total")]
                assert [line.rpartition(" ")[2] for line in lines] == ["20.0"]
                assert len({record["id"] for record in records}) == 20
                gateway.terminate()
                assert await soon(gateway.ended(), 20) == 0
                assert gateway.errors == b""

    run(scenario())


def test_nobody_reads_the_records(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream, process(configuration(tmp_path, upstream)) as gateway, client() as http:
            upstream.will(Reply(chunks=[chat_chunk("Hel"), *CHAT_STREAM]))
            gateway.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
            for _ in range(3):
                assert (await http.post(gateway.url + CHAT, json=ask())).status_code == 200
            gateway.terminate()
            assert await gateway.ended() == 0
            assert gateway.errors == b""

    run(scenario())
