"""`sse_fast.aiohttp`: what it sends and gives is as it came."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest
from gateway.upstream import Reply, Upstream, json_reply
from live.watch import run
from sse_fast import RefusalError
from sse_fast.aiohttp import ask, new_session


def test_a_request_goes_out_as_it_is() -> None:
    async def scenario() -> None:
        async with Upstream() as upstream, new_session(connect=5.0) as session:
            upstream.will(json_reply({}))
            headers = [("X-A", "caf\xc3\xa9"), ("x-a", "2")]
            for body in (None, b"12", pieces()):
                url = f"{upstream.url}/a%2Fb/..%2e?q=%41"
                async with await ask(session, "DELETE", url, headers=headers, body=body) as response:
                    assert response.status == 200
            for seen in upstream.seen:
                assert (seen.method, seen.target) == ("DELETE", "/a%2Fb/..%2e?q=%41")
                assert seen.values("x-a") == ["caf\xc3\xa9", "2"]
                assert {name for name, _ in seen.headers} <= {"host", "x-a", "content-length", "transfer-encoding"}
            assert [seen.body for seen in upstream.seen] == [b"", b"12", b"12"]

    async def pieces() -> AsyncIterator[bytes]:
        yield b"1"
        yield b"2"

    run(scenario())


def test_an_answer_is_neither_decoded_nor_followed() -> None:
    async def scenario() -> None:
        text = gzip.compress(b"{}")
        headers = [("content-encoding", "gzip"), ("location", "/elsewhere"), ("set-cookie", "a=1")]
        async with Upstream() as upstream, new_session(connect=5.0) as session:
            upstream.will(Reply(status=302, headers=headers, chunks=[text]))
            for _ in range(2):
                async with await ask(session, "GET", upstream.url, headers=[], body=None) as response:
                    assert (response.status, await response.read()) == (302, text)
            assert upstream.seen[1].values("cookie") == []

    run(scenario())


def test_what_reading_a_body_came_to_is_raised() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"1"
        raise RefusalError(413, "too large")

    async def scenario() -> None:
        async with Upstream() as upstream, new_session(connect=5.0) as session:
            upstream.will(json_reply({}))
            with pytest.raises(RefusalError, match="too large"):
                await ask(session, "POST", upstream.url, headers=[], body=body())

    run(scenario())
