"""What an upstream answers, by what it is: rewritten, or passed as it came."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aio_peers import DONE, RULES, Upstream, event
from sse_fast import EncodingError, RefusalError, Replace, Rewriter, Rules, SSEFastError
from sse_fast.aio import StreamReport, UpstreamResponse
from sse_fast.dialects import chat_completions
from sse_fast.errors import IdleTimeoutError, TruncatedError

pytestmark = pytest.mark.anyio

EVENTS, JSON = ("content-type", "text/event-stream"), ("Content-Type", "application/json; charset=utf-8")
STREAM = event(1) + DONE
TEXT = b'{"model": "x", "n": 1.0}'
MASKED = TEXT.replace(b'"x"', b'"alias"')


def answer(upstream: Any, *headers: tuple[str, str], status: int = 200, **options: Any) -> UpstreamResponse:
    options = {"rewriter": Rewriter(RULES), "body_rules": Rules([Replace("$.model", "alias")]), **options}
    return UpstreamResponse(status, headers, upstream, **options)


async def read(response: UpstreamResponse) -> bytes:
    async with response.stream as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_an_event_stream_is_rewritten() -> None:
    upstream = Upstream(STREAM)
    response = answer(upstream, EVENTS, ("Content-Length", "9"), ("Date", "today"), ("Server", "s"), ("x-id", "1"))
    await response.begin()
    assert (response.status, response.kind, response.body) == (200, "event stream", b"")
    added = [("cache-control", "no-cache, no-transform"), ("x-accel-buffering", "no")]
    assert response.headers == [EVENTS, ("x-id", "1"), *added]
    assert await read(response) == STREAM.replace(b'"x"', b'"alias"')
    assert response.stream.report.captured == {"usage": 1}
    assert upstream.closings == 1


async def test_a_json_body_is_rewritten_and_has_its_length() -> None:
    upstream = Upstream(TEXT[:7], TEXT[7:])
    response = answer(upstream, JSON, ("Content-Length", str(len(TEXT))), ("ETag", '"e"'), ("x-id", "1"))
    assert response.kind == "json"
    await response.begin()
    assert response.headers == [(JSON[0].lower(), JSON[1]), ("x-id", "1"), ("content-length", str(len(MASKED)))]
    assert await read(response) == MASKED
    assert response.body == TEXT
    assert upstream.closings == 1


async def test_what_is_rewritten_is_decoded() -> None:
    for kind, body, expected in (
        (EVENTS, STREAM, STREAM.replace(b'"x"', b'"alias"')),
        (JSON, TEXT, MASKED),
    ):
        twice = gzip.compress(gzip.compress(body))
        response = answer(Upstream(twice), kind, ("content-encoding", "gzip"), ("content-encoding", "gzip"))
        await response.begin()
        assert await read(response) == expected
        assert all(name != "content-encoding" for name, _ in response.headers)
        with pytest.raises(EncodingError, match="'br'"):
            answer(Upstream(), kind, ("content-encoding", "br"))


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        ([("content-type", "text/plain")], {}),
        ([], {}),
        ([EVENTS], {"rewriter": None}),
        ([JSON], {"body_rules": None}),
        ([EVENTS], {"method": "HEAD"}),
        ([JSON], {"method": "HEAD"}),
        ([EVENTS], {"status": 304}),
    ],
    ids=str,
)
async def test_anything_else_passes(headers: list[tuple[str, str]], options: dict[str, Any]) -> None:
    upstream = Upstream(b"\x00", STREAM)
    response = answer(upstream, *headers, ("content-encoding", "br"), **options, heartbeat=1.0, errors="event")
    await response.begin()
    assert response.kind == "other"
    assert await read(response) == b"\x00" + STREAM
    assert upstream.closings == 1


@pytest.mark.parametrize(
    "kind", [[("content-type", "text/event-stream")] * 2, [("content-type", "text/plain, text/event-stream;x=y")]]
)
async def test_a_type_that_is_said_twice_is_rewritten_all_the_same(kind: list[tuple[str, str]]) -> None:
    for mask in (True, False):
        pairs = (
            kind if mask else [(name, value.replace("text/event-stream", "application/json")) for name, value in kind]
        )
        stream = STREAM if mask else TEXT
        response = answer(Upstream(stream), *pairs)
        await response.begin()
        assert await read(response) == stream.replace(b'"x"', b'"alias"')


async def test_a_slice_counts_as_whole() -> None:
    for headers, status in (([JSON], 206), ([JSON, ("content-range", "bytes 0-99/100")], 200)):
        response = answer(Upstream(TEXT), *headers, status=status)
        await response.begin()
        assert await read(response) == MASKED


async def test_a_length_beside_a_transfer_coding_is_none() -> None:
    headers = [("content-length", "3"), ("transfer-encoding", "chunked"), ("content-type", "text/plain")]
    assert answer(Upstream(), *headers).headers == headers[2:]


async def test_to_begin_twice_changes_nothing() -> None:
    response = answer(Upstream(TEXT), JSON)
    await response.begin()
    headers = [*response.headers]
    await response.begin()
    assert response.headers == headers


async def test_what_passes_keeps_what_describes_its_bytes() -> None:
    kept = [("content-type", "audio/mpeg"), ("content-length", "9"), ("content-encoding", "br"), ("etag", '"e"')]
    assert answer(Upstream(), *kept, ("Connection", "x-a"), ("x-a", "1"), ("Server", "s")).headers == kept


@pytest.mark.parametrize("kind", [EVENTS, JSON])
async def test_head_has_the_headers_that_get_would(kind: tuple[str, str]) -> None:
    head, get = (answer(Upstream(), kind, ("etag", "e"), method=method).headers for method in ("HEAD", "GET"))
    assert head == get


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_no_body_has_no_length(status: int) -> None:
    assert answer(Upstream(), ("content-length", "9"), ("etag", "e"), status=status).headers == [("etag", "e")]


@pytest.mark.parametrize(
    ("status", "header", "message"),
    [
        (101, EVENTS, "the status 101, which is none"),
        (600, EVENTS, "the status 600, which is none"),
        (200, ("transfer-encoding", "gzip, chunked"), "transfer coding 'gzip, chunked': nobody undoes it"),
        (200, ("x-a", "b\x01c"), "a control character in the header 'x-a'"),
        (200, ("x-a", "b\x7fc"), "a control character in the header 'x-a'"),
        (200, ("x-a", "b\r\nset-cookie: c"), "header 'x-a' has CR, LF or NUL in its value"),
        (200, ("x a", "b"), "header name 'x a' is no token"),
    ],
)
async def test_what_http_does_not_know_is_refused(status: int, header: tuple[str, str], message: str) -> None:
    with pytest.raises(SSEFastError, match=message):
        answer(Upstream(), header, status=status)


async def test_a_tab_and_latin_1_are_no_control_characters() -> None:
    assert answer(Upstream(), ("x-a", "b\tc\xe9")).headers == [("x-a", "b\tc\xe9")]


async def test_a_json_body_that_is_too_large() -> None:
    upstream = Upstream(TEXT, TEXT)
    response = answer(upstream, JSON, max_body=len(TEXT))
    with pytest.raises(RefusalError, match=f"larger than {len(TEXT)} bytes") as raised:
        await response.begin()
    assert raised.value.status == 502
    assert upstream.closings == 1
    whole = answer(Upstream(TEXT), JSON, max_body=len(TEXT))
    await whole.begin()
    assert await read(whole) == MASKED


@pytest.mark.parametrize("kind", [EVENTS, JSON])
async def test_an_upstream_that_fails_before_its_answer(kind: tuple[str, str]) -> None:
    reports: list[StreamReport] = []
    upstream = Upstream(b"", error := OSError())
    response = answer(upstream, kind, errors="event", on_end=reports.append)
    with pytest.raises(OSError) as raised:
        await response.begin()
    assert raised.value is error
    assert [report.outcome for report in reports] == ["upstream_error"]
    assert upstream.closings == 1


async def test_a_json_body_cut_in_the_middle_passes_as_it_is() -> None:
    response = answer(Upstream(TEXT[:9]), JSON)
    await response.begin()
    assert await read(response) == TEXT[:9]


async def test_an_error_in_a_stream_is_told_as_asked_and_in_other_bodies_raised() -> None:
    response = answer(Upstream(event(1), OSError()), EVENTS, errors="event")
    await response.begin()
    first, error = (await read(response)).split(b"\n\n", 1)
    assert first + b"\n\n" == event(1, "alias")
    assert error.startswith(b"event: error\n")
    with pytest.raises(OSError):
        await read(answer(Upstream(b"abc", OSError()), ("content-type", "text/plain"), errors="event"))


@pytest.mark.parametrize("text", [b'{"error":{"message":"no"}}', b"", b"not found"])
async def test_of_an_error_no_end_of_a_stream_is_asked(text: bytes) -> None:
    """Servers that call all that they answer an event stream: the client is to have the status."""

    def stream(status: int) -> UpstreamResponse:
        options: dict[str, Any] = {"dialect": chat_completions, "errors": "event"}
        return answer(Upstream(text), EVENTS, status=status, rewriter=Rewriter(chat_completions.captures()), **options)

    for status in (400, 429, 500):
        response = stream(status)
        await response.begin(hold=0.01)
        assert (response.status, await read(response)) == (status, text)
        assert response.stream.report.outcome == "completed"
    with pytest.raises(TruncatedError):
        await stream(200).begin()


async def test_a_json_body_that_keeps_coming_is_not_idle() -> None:
    class Slow(Upstream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in self.script:
                await asyncio.sleep(0.15)
                yield chunk

    response = answer(Slow(*[b"\n"] * 12, TEXT), JSON, idle_timeout=1.0)
    await response.begin()
    assert (await read(response)).strip() == MASKED
    stuck = answer(Upstream(b"{", asyncio.Event()), JSON, idle_timeout=0.05)
    with pytest.raises(IdleTimeoutError):
        await stuck.begin()


async def test_the_owner_of_the_chunks_is_closed() -> None:
    class Owner:
        closed = 0

        def close(self) -> None:
            self.closed += 1

    for kind in (EVENTS, JSON, ("content-type", "text/plain")):
        owner = Owner()
        await read(answer(Upstream(STREAM), kind, response=owner))
        assert owner.closed == 1
