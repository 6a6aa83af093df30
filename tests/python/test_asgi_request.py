"""A request that is passed on, by hand: its first line, its body, and the answer that does not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from asgi_peers import Server
from sse_fast import RefusalError
from sse_fast.asgi.client import Client
from sse_fast.asgi.messages import body
from sse_fast.asgi.request import RequestBody, request_id, request_line

pytestmark = pytest.mark.anyio

CHUNKED = (b"transfer-encoding", b"chunked")


def part(data: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


def served(*requests: dict[str, Any], headers: Iterable[tuple[bytes, bytes]] = (CHUNKED,)) -> Server:
    return Server("POST", headers=headers, requests=requests)


def request_of(server: Server, *, limit: int = 100, seconds: float = 60.0) -> RequestBody:
    return RequestBody(server.scope, server.receive, limit=limit, seconds=seconds)


async def read(request: RequestBody) -> list[bytes]:
    return [chunk async for chunk in request]


async def test_a_body_is_read_as_it_comes() -> None:
    request = request_of(
        served(part(b"a", more=True), part(b"", more=True), part(b"bc", more=True), {"type": "http.request"})
    )
    assert (request.exists, request.length, request.begun) == (True, 0, False)
    assert await read(request) == [b"a", b"bc"]
    assert request.begun


async def test_it_is_read_once() -> None:
    request = request_of(served(part(b"a", more=False)))
    assert await read(request) == [b"a"]
    with pytest.raises(RuntimeError, match="can be read once"):
        await read(request)


async def test_the_time_of_who_reads_is_not_the_clients() -> None:
    request = request_of(served(*[part(b"a", more=True)] * 4, part(b"", more=False)), seconds=0.2)
    chunks = []
    async for chunk in request:
        chunks.append(chunk)
        await asyncio.sleep(0.1)
    assert chunks == [b"a"] * 4


async def test_no_body() -> None:
    server = served(headers=())
    request = request_of(server)
    assert (request.exists, request.length) == (False, 0)
    assert await read(request) == []
    server.leave()
    assert (await request.departure())["type"] == "http.disconnect"


async def test_a_length_makes_a_body() -> None:
    assert request_of(served(headers=[(b"content-length", b"12")])).length == 12
    assert not request_of(served(headers=[(b"content-length", b"0")])).exists


async def test_a_length_beside_a_transfer_coding_is_none() -> None:
    request = request_of(served(headers=[(b"content-length", b"12"), CHUNKED]))
    assert (request.exists, request.length) == (True, 0)


async def test_a_body_that_is_too_large_is_refused_at_the_byte() -> None:
    assert await read(request_of(served(part(b"abcd", more=False)), limit=4)) == [b"abcd"]
    for parts in ([part(b"abcde", more=False)], [part(b"abcd", more=True), part(b"e", more=True)]):
        with pytest.raises(RefusalError, match="larger than 4 bytes") as raised:
            await read(request_of(served(*parts), limit=4))
        assert raised.value.status == 413
    with pytest.raises(RefusalError):
        request_of(served(), limit=4).check(5)


async def test_a_body_that_takes_too_long_is_refused() -> None:
    with pytest.raises(RefusalError, match=r"longer than 0\.01 seconds") as raised:
        await read(request_of(served(part(b"a", more=True)), seconds=0.01))
    assert raised.value.status == 408


async def test_the_departure_waits_for_the_body() -> None:
    server = served(part(b"a", more=True), part(b"b", more=False))
    request = request_of(server)
    departure = asyncio.create_task(request.departure())
    await asyncio.sleep(0)
    assert await read(request) == [b"a", b"b"]
    server.leave()
    assert (await departure)["type"] == "http.disconnect"


async def test_a_client_that_leaves_in_the_middle_cancels_who_reads() -> None:
    server = served(part(b"a", more=True))
    request = request_of(server)
    got: list[bytes] = []
    async with Client(request.departure, server.send) as client:
        async for chunk in request:
            got.append(chunk)
            server.leave()
        got.append(b"never")
    assert client.left
    assert got == [b"a"]


async def test_the_rest_of_a_body_is_read_before_an_early_answer_ends() -> None:
    server = served(part(b"a", more=True), part(b"b", more=True), part(b"c", more=False))
    request = request_of(server)
    async with Client(request.departure, server.send) as client:
        await client.start(413, [("content-length", "2")])
        await client.send(body(b"no", more=True))
        await client.finish(unread=request)
    assert server.parts == [b"no"]
    assert server.complete
    server.leave()
    assert (await server.receive())["type"] == "http.disconnect"


async def test_the_rest_of_a_body_is_not_waited_for_for_ever() -> None:
    for body_of_seconds in ({"seconds": 0.01, "idle": 60.0}, {"seconds": 60.0, "idle": 0.01}):
        async with asyncio.timeout(30):
            await request_of(served(part(b"a", more=True))).discard(**body_of_seconds)


async def test_who_was_too_slow_is_not_waited_for_again() -> None:
    request = request_of(served(part(b"a", more=True)), seconds=0.01)
    with pytest.raises(RefusalError):
        await read(request)
    async with asyncio.timeout(30):
        await request.discard(seconds=3600, idle=3600)


async def test_the_status_is_that_of_the_head_that_has_left() -> None:
    server = served(headers=())
    async with Client(server.receive, server.send) as client:
        assert client.status is None
        await client.start(204, [])
        assert client.status == 204
        await client.finish()

    async def send(message: dict[str, Any]) -> None:
        raise OSError

    async with Client(server.receive, send) as client:
        await client.start(204, [])
    assert client.status is None


@pytest.mark.parametrize("path", ["/v1/..", "/../x", "/v1/./x", "/v1\\..\\x", "/v1/..;/x", "/.;x", "/.."])
async def test_a_path_that_leaves_its_place_is_refused(path: str) -> None:
    scope = {"method": "GET", "path": path, "raw_path": path.replace(".", "%2e").encode(), "query_string": b""}
    with pytest.raises(RefusalError, match="segment of dots") as raised:
        request_line(scope)
    assert raised.value.status == 400


async def test_what_cannot_be_passed_on_is_refused() -> None:
    for method in ("CONNECT", "TRACE"):
        with pytest.raises(RefusalError, match=method) as raised:
            request_line({"method": method, "path": "/", "raw_path": b"/", "query_string": b""})
        assert raised.value.status == 405
    for raw in ({"raw_path": b"/\xe9", "query_string": b""}, {"raw_path": b"/", "query_string": b"\xe9"}):
        with pytest.raises(RefusalError, match="not percent-encoded"):
            request_line({"method": "GET", "path": "/", **raw})


async def test_a_line_comes_as_it_was_sent() -> None:
    scope = {"method": "POST", "path": "/v1/a b...c/.d", "raw_path": b"/v1/a%20b...c/.d", "query_string": b"x=%2F..&y"}
    assert request_line(scope) == ("POST", "/v1/a%20b...c/.d", "x=%2F..&y")


async def test_a_server_without_raw_paths() -> None:
    for scope in ({"raw_path": None}, {}):
        line = request_line({"method": "GET", "path": "/v1/caf\xe9 x", "query_string": b"", **scope})
        assert line == ("GET", "/v1/caf%C3%A9%20x", "")


async def test_a_path_without_a_slash_is_refused() -> None:
    with pytest.raises(RefusalError, match="slash"):
        request_line({"method": "OPTIONS", "path": "*", "raw_path": b"*", "query_string": b""})


@pytest.mark.parametrize("given", [b"", b"a b", b"\xe9", b"x" * 129, b"a\tb"])
async def test_a_request_without_a_plausible_id_gets_one(given: bytes) -> None:
    scope = {"headers": [(b"x-request-id", given)] if given else []}
    first, second = request_id(scope), request_id(scope)
    assert first.startswith("req_")
    assert first != second


async def test_a_client_s_own_id_stays() -> None:
    assert request_id({"headers": [(b"X-Request-Id", b"trace/1:a")]}) == "trace/1:a"
