"""How streams end: errors as httpx says them, reports, and what is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from sse_fast import InvalidEventError
from sse_fast.aio import StreamReport
from sse_fast.dialects import chat_completions
from sse_fast.errors import IdleTimeoutError, TruncatedError
from sse_fast.httpx import RewriteTransport

from transport.peers import ONE, ONE_MASKED, RULES, TWO, TWO_MASKED, Inner, Kit

# Errors.


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["ReadError", "RemoteProtocolError", "ReadTimeout"])
async def test_an_error_of_the_inner_stream_is_the_very_same_after_all_whole_events(kit: Kit, name: str) -> None:
    error = getattr(kit.library, name)("gone")
    reports: list[StreamReport] = []
    inner = Inner(kit.library, [ONE + TWO[:9]], error=error)
    received = await kit.get(RewriteTransport(RULES, transport=inner, on_end=reports.append))
    assert received.chunks == [ONE_MASKED]
    assert received.error is error
    assert received.error.request is received.response.request
    assert [(report.outcome, report.error) for report in reports] == [("upstream_error", error)]
    assert inner.body.closed == 1


@pytest.mark.anyio
async def test_a_cut_stream_is_a_remote_protocol_error(kit: Kit) -> None:
    reports: list[StreamReport] = []
    inner = Inner(kit.library, [ONE + TWO[:-9]])
    received = await kit.get(RewriteTransport(RULES, transport=inner, on_end=reports.append))
    assert received.chunks == [ONE_MASKED]
    assert type(received.error) is kit.library.RemoteProtocolError
    assert isinstance(received.error.__cause__, TruncatedError)
    assert str(received.error) == str(received.error.__cause__)
    assert received.error.request is received.response.request
    assert [report.outcome for report in reports] == ["truncated"]
    assert inner.body.closed == 1


@pytest.mark.anyio
async def test_a_dialect_says_what_ends_a_stream_and_how_errors_look(kit: Kit) -> None:
    dialect = SimpleNamespace(
        is_terminal=lambda report: report.stats.done, error_event=lambda error, report: b"data: sorry\n\n"
    )
    whole = [ONE, b"data: [DONE]\n\n"]
    transport = RewriteTransport(RULES, transport=Inner(kit.library, whole), dialect=dialect)
    received = await kit.get(transport)
    assert (received.chunks, received.error) == ([ONE_MASKED, b"data: [DONE]\n\n"], None)
    transport = RewriteTransport(RULES, transport=Inner(kit.library, [ONE]), dialect=dialect)
    received = await kit.get(transport)
    assert (received.chunks, type(received.error)) == ([ONE_MASKED], kit.library.RemoteProtocolError)
    transport = RewriteTransport(RULES, transport=Inner(kit.library, [ONE]), dialect=dialect, errors="event")
    received = await kit.get(transport)
    assert (received.body, received.error) == (ONE_MASKED + b"data: sorry\n\n", None)


@pytest.mark.anyio
async def test_of_an_error_no_end_of_a_stream_is_asked(kit: Kit) -> None:
    """Servers that call all that they answer an event stream: an SDK has to see the status and the text."""
    text = b'{"error":{"message":"no"}}'
    inner = Inner(kit.library, [text], status=429)
    transport = RewriteTransport(chat_completions.captures(), transport=inner, dialect=chat_completions)
    received = await kit.get(transport)
    assert (received.response.status_code, received.body, received.error) == (429, text, None)
    # Where it is one, and breaks off, no event is added to it that is of no API.
    inner = Inner(kit.library, [ONE, TWO[:9]], status=429)
    received = await kit.get(RewriteTransport(RULES, transport=inner, dialect=chat_completions, errors="event"))
    assert (received.body, type(received.error)) == (ONE_MASKED, kit.library.RemoteProtocolError)


@pytest.mark.anyio
async def test_an_invalid_event_is_a_remote_protocol_error_where_asked(kit: Kit) -> None:
    inner = Inner(kit.library, [ONE + b"data: no json\n\n" + TWO])
    received = await kit.get(RewriteTransport(RULES, transport=inner, on_invalid="raise"))
    assert received.chunks == [ONE_MASKED]
    assert type(received.error) is kit.library.RemoteProtocolError
    assert isinstance(received.error.__cause__, InvalidEventError)


@pytest.mark.anyio
async def test_idle_timeout_is_a_read_timeout(kit: Kit) -> None:
    if not kit.is_async:
        inner = Inner(kit.library, [ONE])
        with pytest.raises(ValueError, match=r"idle_timeout needs httpx\.AsyncClient"):
            await kit.get(RewriteTransport(RULES, transport=inner, idle_timeout=1.0))
        assert inner.requests == []
        return

    class Hangs(kit.library.AsyncByteStream):  # type: ignore[name-defined,misc]
        closed = 0

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield ONE
            for _ in range(3000):
                await asyncio.sleep(0.001)
                yield b": still here\n\n"

        async def aclose(self) -> None:
            self.closed += 1

    inner = Inner(kit.library, [])
    inner.response.stream = stream = Hangs()
    received = await kit.get(RewriteTransport(RULES, transport=inner, idle_timeout=0.05, comments="drop"))
    assert received.chunks == [ONE_MASKED]
    assert type(received.error) is kit.library.ReadTimeout
    assert isinstance(received.error.__cause__, IdleTimeoutError)
    assert stream.closed == 1


@pytest.mark.anyio
async def test_an_error_before_the_response_comes_as_it_is(kit: Kit) -> None:
    error = kit.library.ConnectError("refused")

    def answer(request: Any) -> Any:
        raise error

    with pytest.raises(kit.library.ConnectError) as raised:
        await kit.get(RewriteTransport(RULES, transport=kit.library.MockTransport(answer)))
    assert raised.value is error


# Closing.


@pytest.mark.anyio
@pytest.mark.parametrize("read", [0, 1, 2])
async def test_closing_closes_the_inner_response_once(kit: Kit, read: int) -> None:
    reports: list[StreamReport] = []
    inner = Inner(kit.library, [ONE, TWO, b"data: [DONE]\n\n"])
    async with kit.client(RewriteTransport(RULES, transport=inner, on_end=reports.append)) as client:
        response = await kit.send(client)
        chunks = kit.chunks(response)
        for _ in range(read):
            await anext(chunks)
        assert (inner.body.closed, reports) == (0, [])
        await kit.close(response)
        await chunks.aclose()
        await kit.close(response)
    assert inner.body.closed == 1
    assert [report.outcome for report in reports] == ["cancelled"]
    assert reports[0].captured["id"] == (read or None)


@pytest.mark.anyio
async def test_a_whole_stream_is_reported_once(kit: Kit) -> None:
    reports: list[StreamReport] = []
    inner = Inner(kit.library, [ONE, TWO])
    await kit.get(RewriteTransport(RULES, transport=inner, on_end=reports.append))
    assert [(report.outcome, report.captured["id"]) for report in reports] == [("completed", 2)]


@pytest.mark.anyio
async def test_a_stream_can_be_taken_up_again(kit: Kit) -> None:
    # As openai's SDK does after [DONE], to leave a connection that can be used again.
    inner = Inner(kit.library, [ONE, TWO, b"data: [DONE]\n\n"])
    async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
        response = await kit.send(client)
        chunks = kit.chunks(response)
        assert await anext(chunks) == ONE_MASKED
        rest = [chunk async for chunk in response.stream] if kit.is_async else list(response.stream)
        assert rest == [TWO_MASKED, b"data: [DONE]\n\n"]
        await kit.close(response)
        await chunks.aclose()
    assert inner.body.closed == 1


@pytest.mark.anyio
async def test_the_inner_transport_is_opened_and_closed_with_this_one(kit: Kit) -> None:
    inner = Inner(kit.library, [ONE])
    transport = RewriteTransport(RULES, transport=inner)
    await kit.get(transport)
    assert inner.calls == ["enter", "exit"]
    await transport.aclose() if kit.is_async else transport.close()
    assert inner.calls == ["enter", "exit", "close"]
