"""Over sockets: connections that are used again, closed, cancelled and reset."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest
from sse_fast.httpx import RewriteTransport

from transport.peers import BODY, BODY_MASKED, ONE, ONE_MASKED, RULES, TWO, TWO_MASKED, Kit
from transport.sockets import HANG, RESET, Upstream, Upstream2, network


@pytest.mark.anyio
async def test_a_connection_is_used_again_after_a_whole_stream(kit: Kit) -> None:
    with Upstream.running(ONE, TWO) as upstream:
        async with kit.client(RewriteTransport(RULES), trust_env=False) as client:
            for _ in range(3):
                response = await kit.send(client, url=upstream.url)
                assert [chunk async for chunk in kit.chunks(response)]
    assert (len(upstream.requests), upstream.connections) == (3, 1)
    assert b"br" not in upstream.requests[0].lower().partition(b"accept-encoding:")[2].partition(b"\r\n")[0]


@pytest.mark.anyio
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_the_loop_is_not_blocked(library: str) -> None:
    blockbuster = pytest.importorskip("blockbuster")
    kit = Kit(pytest.importorskip(library), True)
    with Upstream.running(ONE, TWO) as upstream:
        async with kit.client(RewriteTransport(RULES)) as client:
            with blockbuster.blockbuster_ctx():
                for _ in range(2):
                    assert (await client.get(upstream.url)).content == ONE_MASKED + TWO_MASKED
                await client.aclose()
    assert upstream.connections == 1


@pytest.mark.anyio
async def test_a_connection_is_used_again_after_a_json_body(kit: Kit) -> None:
    with Upstream.running(BODY, content_type="application/json") as upstream:
        async with kit.client(RewriteTransport(RULES, body_rules=RULES)) as client:
            for _ in range(3):
                response = await client.get(upstream.url) if kit.is_async else client.get(upstream.url)
                assert response.content == BODY_MASKED
    assert (len(upstream.requests), upstream.connections) == (3, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("read", [0, 1])
async def test_closing_in_the_middle_closes_the_connection(kit: Kit, read: int) -> None:
    with Upstream.running(ONE, HANG) as upstream:
        inner = network(kit)
        async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
            response = await kit.send(client, url=upstream.url)
            chunks = kit.chunks(response)
            for _ in range(read):
                assert await anext(chunks) == ONE_MASKED
            await kit.close(response)
            await chunks.aclose()
            assert inner._pool.connections == []
            assert await asyncio.to_thread(upstream.left.wait, 30)


@pytest.mark.anyio
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("script", [(ONE, HANG), (HANG,)])
@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
async def test_a_cancel_closes_the_connection(library: str, script: tuple[Any, ...], content_type: str) -> None:
    kit = Kit(pytest.importorskip(library), True)
    before = asyncio.all_tasks()
    with Upstream.running(*script, content_type=content_type) as upstream:
        inner = network(kit)
        async with kit.client(RewriteTransport(RULES, body_rules=RULES, transport=inner)) as client:
            task = asyncio.create_task(client.get(upstream.url))
            while not upstream.requests:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)  # most likely in the middle of the body by now; anywhere else is as good
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert inner._pool.connections == []
            assert await asyncio.to_thread(upstream.left.wait, 30)
    assert asyncio.all_tasks() == before


@pytest.mark.anyio
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_a_cancel_between_events_closes_the_connection(library: str) -> None:
    kit = Kit(pytest.importorskip(library), True)
    first = asyncio.Event()

    async def read(client: Any, url: str) -> None:
        async with client.stream("GET", url) as response:
            async for _ in response.aiter_lines():
                first.set()

    with Upstream.running(ONE, HANG) as upstream:
        inner = network(kit)
        async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
            task = asyncio.create_task(read(client, upstream.url))
            await first.wait()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert inner._pool.connections == []
            assert await asyncio.to_thread(upstream.left.wait, 30)


@pytest.mark.anyio
async def test_a_scope_of_anyio_can_cancel_a_read() -> None:
    anyio = pytest.importorskip("anyio")
    kit = Kit(importlib.import_module("httpx"), True)
    with Upstream.running(ONE, HANG) as upstream:
        inner = network(kit)
        async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
            with anyio.CancelScope() as scope:
                async with client.stream("GET", upstream.url) as response:
                    async for _ in response.aiter_raw():
                        asyncio.get_running_loop().call_later(0.01, scope.cancel)
            assert scope.cancelled_caught
            assert inner._pool.connections == []
            assert await asyncio.to_thread(upstream.left.wait, 30)


@pytest.mark.anyio
async def test_a_reset_comes_as_httpx_says_it(kit: Kit) -> None:
    with Upstream.running(ONE, TWO[:9], RESET) as upstream:
        inner = network(kit)
        received = await kit.get(RewriteTransport(RULES, transport=inner), url=upstream.url)
    assert received.body in (ONE_MASKED, b"")  # a reset may overtake what was sent before it
    assert isinstance(received.error, (kit.library.ReadError, kit.library.RemoteProtocolError))
    assert inner._pool.connections == []


@pytest.mark.anyio
async def test_the_timeout_of_a_read_comes_as_httpx_says_it(kit: Kit) -> None:
    with Upstream.running(ONE, HANG) as upstream:
        inner = network(kit)
        timeout = kit.library.Timeout(None, read=1.0)
        received = await kit.get(RewriteTransport(RULES, transport=inner), url=upstream.url, timeout=timeout)
    assert received.body == ONE_MASKED
    assert type(received.error) is kit.library.ReadTimeout
    assert inner._pool.connections == []


@pytest.mark.anyio
async def test_http2(kit: Kit) -> None:
    pytest.importorskip("h2")
    inner = network(kit, http1=False, http2=True)
    with Upstream2.running(ONE, TWO) as upstream:
        async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
            response = await kit.send(client, url=upstream.url)
            assert b"".join([chunk async for chunk in kit.chunks(response)]) == ONE_MASKED + TWO_MASKED
            assert response.http_version == "HTTP/2"
            # Where a stream is left in the middle the connection goes on.
            upstream.script = (ONE, HANG)
            response = await kit.send(client, url=upstream.url)
            chunks = kit.chunks(response)
            assert await anext(chunks) == ONE_MASKED
            await kit.close(response)
            await chunks.aclose()
            upstream.script = (ONE, TWO[:9], RESET)
            received = await kit.read(await kit.send(client, url=upstream.url))
            assert received.body in (ONE_MASKED, b"")
            assert type(received.error) is kit.library.RemoteProtocolError
    assert upstream.connections == 1
