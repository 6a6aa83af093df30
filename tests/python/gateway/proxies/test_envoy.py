"""What is Envoy's own: its compressor, its timeout of routes, and bodies without a limit."""

from __future__ import annotations

import json
import zlib

import httpx
import pytest
from live.watch import run

from gateway.bodies import CHAT, CHAT_BODY, CHAT_STREAM, ask
from gateway.proxies.fronts import Envoy
from gateway.proxies.scene import COMPRESSION, EXPECTED, client, scene
from gateway.upstream import Reply, json_reply

TYPE = "type.googleapis.com/envoy.extensions"
COMPRESSED = {"min_content_length": 1, "content_type": ["text/event-stream", "application/json"]}
COMPRESSOR = {
    "@type": f"{TYPE}.filters.http.compressor.v3.Compressor",
    "compressor_library": {
        "name": "gzip",
        "typed_config": {"@type": f"{TYPE}.compression.gzip.compressor.v3.Gzip"},
    },
    "response_direction_config": {"common_config": COMPRESSED},
}


def test_its_compressor_leaves_event_streams_alone(envoy: Envoy) -> None:
    async def scenario() -> None:
        filters = "          http_filters:\n"
        compressor = f"          - {json.dumps({'name': 'compressor', 'typed_config': COMPRESSOR})}\n"
        front = envoy.changed(filters, filters + compressor)
        async with scene(front, json_reply(CHAT_BODY), Reply(chunks=CHAT_STREAM)) as on, client() as http:
            body = await raw(http, on.front, coding="gzip")
            assert json.loads(zlib.decompress(body, wbits=31)) == {**CHAT_BODY, "model": "fast"}
            assert await raw(http, on.front, coding=None) == EXPECTED

    run(scenario())


async def raw(http: httpx.AsyncClient, url: str, *, coding: str | None) -> bytes:
    async with http.stream("POST", url + CHAT, json=ask(), headers=COMPRESSION) as response:
        assert response.headers.get("content-encoding") == coding
        return b"".join([chunk async for chunk in response.aiter_raw()])


def test_a_timeout_of_its_route_ends_each_stream(envoy: Envoy) -> None:
    """However lively it is; 15 seconds unless given."""

    async def scenario() -> None:
        reply = Reply(chunks=[CHAT_STREAM[0], *[0.1, b": still here\n\n"] * 100])
        async with scene(envoy.changed(" timeout: 0s", " timeout: 0.5s"), reply) as on, client() as http:
            with pytest.raises(httpx.RemoteProtocolError):
                await http.post(on.front + CHAT, json=ask())
            assert (await on.record())["outcome"] == "cancelled"

    run(scenario())


def test_bodies_have_no_limit_of_its_own(envoy: Envoy) -> None:
    async def scenario() -> None:
        body = b"x" * (4 << 20)
        async with scene(envoy, Reply(chunks=CHAT_STREAM)) as on, client() as http:
            response = await http.post(on.front + CHAT, content=body, headers={"content-type": "audio/wav"})
            assert response.status_code == 200
            assert on.upstream.seen[0].body == body

    run(scenario())


def test_one_that_is_too_large_for_the_gateway(envoy: Envoy) -> None:
    """Envoy closes on clients that go on sending: it is small here, for they need not hear of it."""

    async def scenario() -> None:
        async with scene(envoy, Reply(chunks=CHAT_STREAM), max_request_bytes=10_000) as on, client() as http:
            response = await http.post(on.front + CHAT, json={"text": "x" * 50_000})
            assert response.status_code == 413
            assert "larger than 10000 bytes" in response.json()["error"]["message"]

    run(scenario())


def test_the_gateways_own_paths_are_not_for_clients(envoy: Envoy) -> None:
    async def scenario() -> None:
        async with scene(envoy, Reply(chunks=CHAT_STREAM)) as on, client() as http:
            assert (await http.get(on.gateway + "/%6detrics")).status_code == 200
            for path in ("/metrics", "/%6detrics", "/healthz"):
                assert (await http.get(on.front + path)).status_code == 404
            assert (await http.get(on.front + "/v1/%2e%2e/metrics")).status_code == 400

    run(scenario())
