"""What is nginx's own: its compression and its limit of bodies."""

from __future__ import annotations

import asyncio
import json
import statistics
import zlib

import pytest
from live.watch import run

from gateway.bodies import CHAT, CHAT_BODY, CHAT_STREAM, ask
from gateway.proxies.fronts import Nginx
from gateway.proxies.scene import COMPRESSION, EXPECTED, Stamped, Watch, client, scene
from gateway.upstream import Reply, json_reply

GZIP_ALL = "gzip_types *; gzip_proxied any; gzip_min_length 1;"


@pytest.mark.parametrize("off", [False, True])
def test_gzip_for_all_types(nginx: Nginx, off: bool) -> None:
    """It compresses event streams, too, whatever Cache-Control says; not where it is off."""

    async def scenario() -> None:
        front = nginx.located(GZIP_ALL + ("gzip off;" if off else ""))
        async with scene(front, json_reply(CHAT_BODY), Reply(chunks=CHAT_STREAM)) as on, client() as http:
            for expected in (json.dumps({**CHAT_BODY, "model": "fast"}).encode(), EXPECTED):
                async with http.stream("POST", on.front + CHAT, json=ask(), headers=COMPRESSION) as response:
                    body = b"".join([chunk async for chunk in response.aiter_raw()])
                if off:
                    assert body == expected
                    assert "content-encoding" not in response.headers
                else:
                    assert zlib.decompress(body, wbits=31) == expected
                    assert response.headers["content-encoding"] == "gzip"

    run(scenario())


def test_its_compression_holds_no_event(nginx: Nginx) -> None:
    async def scenario() -> list[float]:
        reply = Reply(chunks=Stamped(8, pause=0.06))
        async with scene(nginx.located(GZIP_ALL), reply) as on, client() as http:
            watch = Watch()
            await asyncio.gather(*(watch.ask(http, on.front, COMPRESSION) for _ in range(5)))
            return watch.seconds

    def median() -> float:
        seconds = run(scenario())
        assert len(seconds) == 40
        return statistics.median(seconds)

    assert any(median() < 0.05 for _ in range(5))  # the machine may do other things meanwhile


@pytest.mark.parametrize("kind", ["application/json", "audio/wav"])
def test_its_limit_of_bodies(nginx: Nginx, kind: str) -> None:
    """Above that it answers itself, in no dialect's form; a megabyte unless given."""

    async def scenario() -> None:
        front, body = nginx.located("client_max_body_size 4m;"), b"x" * (2 << 20)
        async with scene(front, json_reply(CHAT_BODY), max_request_bytes=2 << 20) as on, client() as http:
            for content, status, of_nginx in ((body, 200, False), (body * 2, 413, False), (body * 3, 413, True)):
                response = await http.post(on.front + CHAT, content=content, headers={"content-type": kind})
                assert response.status_code == status
                assert response.headers["content-type"] == ("text/html" if of_nginx else "application/json")
            assert [seen.body for seen in on.upstream.seen] == [body]

    run(scenario())
