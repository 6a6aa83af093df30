"""Taps, and drains that go on for them."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from aio_peers import DONE, MOMENT, Stream, Upstream, event, every_mode
from sse_fast import Rewriter
from sse_fast.aio import RewriteStream

pytestmark = pytest.mark.anyio


# Taps.


@every_mode
async def test_taps_see_both_sides(mode: dict[str, Any]) -> None:
    stream = Stream(Upstream(event(1), event(2)[:9], event(2)[9:], OSError()), errors="event", **mode)
    upstream, client = stream.stream.tap(), stream.stream.tap("client")
    outputs = await stream.read()
    assert await upstream.read() == event(1) + event(2)
    assert await client.read() == b"".join(outputs)
    assert not upstream.truncated
    late = stream.stream.tap()
    assert await late.read() == b""


async def test_a_tap_taken_later_sees_what_comes_then() -> None:
    stream = Stream(Upstream(*map(event, range(9))))
    async with stream.stream as outputs:
        for _ in range(4):
            await anext(outputs)
        tap = outputs.tap("client")
        rest = [output async for output in outputs]
    assert await tap.read() == b"".join(rest)


async def test_a_tap_is_bounded_and_says_so() -> None:
    stream = Stream(Upstream(*map(event, range(9))))
    tap, none = stream.stream.tap(max_bytes=50), stream.stream.tap(max_bytes=0)
    outputs = await stream.read()
    assert len(outputs) == 9
    assert await tap.read() == b"".join(map(event, range(9)))[:50]
    assert tap.truncated
    assert await none.read() == b""
    assert none.truncated


async def test_a_tap_that_is_read_has_room_for_ever() -> None:
    turn = asyncio.Event()
    stream = Stream(Upstream(*map(event, range(9))))
    tap, seen = stream.stream.tap(max_bytes=len(event(1))), []

    async def watch() -> None:
        async for data in tap:
            seen.append(data)
            turn.set()

    watcher = asyncio.create_task(watch())
    async with stream.stream as outputs:
        async for _ in outputs:
            await turn.wait()
            turn.clear()
    await watcher
    assert seen == [event(number) for number in range(9)]
    assert not tap.truncated


async def test_a_tap_that_is_closed_or_cancelled_disturbs_nobody() -> None:
    stream = Stream(Upstream(*map(event, range(9))))
    closed, cancelled, read = stream.stream.tap(), stream.stream.tap(), stream.stream.tap()
    reader = asyncio.create_task(cancelled.read())
    async with stream.stream as outputs:
        await anext(outputs)
        closed.close()
        reader.cancel()
        rest = [output async for output in outputs]
    assert len(rest) == 8
    assert await closed.read() == b""
    assert await read.read() == b"".join(map(event, range(9)))
    with pytest.raises(asyncio.CancelledError):
        await reader


# Drain.


async def test_a_drain_completes_captures_and_taps() -> None:
    slow = asyncio.Event()
    upstream = Upstream(event(1), slow, event(2), event(3), DONE)
    stream = Stream(upstream, on_disconnect="drain")
    seen, given = stream.stream.tap(), stream.stream.tap("client")
    async with stream.stream as outputs:
        assert await anext(outputs) == event(1, "alias")
    assert upstream.closings == 0
    assert stream.reports == []
    slow.set()
    assert await seen.read() == event(1) + event(2) + event(3) + DONE
    assert await given.read() == event(1, "alias")
    assert stream.report.outcome == "cancelled"
    assert stream.report.captured == {"usage": 3}
    assert upstream.closings == 1


@pytest.mark.parametrize("cancelled", [True, False], ids=["cancelled", "left"])
async def test_a_drain_ends_in_time(cancelled: bool) -> None:
    upstream = Upstream(event(1), asyncio.Event())
    stream = Stream(upstream, on_disconnect="drain", drain_timeout=5 * MOMENT)
    tap = stream.stream.tap()

    async def read() -> None:
        async with stream.stream as outputs:
            async for _ in outputs:
                if not cancelled:
                    break

    reader = asyncio.create_task(read())
    await asyncio.sleep(MOMENT)
    reader.cancel()
    await asyncio.wait({reader})
    assert reader.cancelled() is cancelled
    assert await tap.read() == event(1)
    assert stream.report.outcome == "cancelled"
    assert upstream.closings == 1


async def test_an_error_in_a_drain_is_in_the_report() -> None:
    slow, error = asyncio.Event(), OSError()
    stream = Stream(Upstream(event(1), slow, error), on_disconnect="drain")
    tap = stream.stream.tap()
    async with stream.stream as outputs:
        await anext(outputs)
    slow.set()
    await tap.read()
    assert (stream.report.outcome, stream.report.error) == ("cancelled", error)


@every_mode
async def test_a_scope_of_anyio_knows_its_own_cancel(mode: dict[str, Any]) -> None:
    stream = Stream(Upstream(event(1), asyncio.Event()), drain_timeout=MOMENT, **mode)
    with anyio.move_on_after(MOMENT) as scope:
        await stream.read()
    assert scope.cancelled_caught
    while not stream.reports:
        await asyncio.sleep(0)
    assert stream.report.outcome == "cancelled"


async def test_a_tap_on_the_client_sees_what_is_given_out_after_a_peek() -> None:
    chunks = [event(1), event(2)]
    stream = RewriteStream(Upstream(*chunks), Rewriter([]))
    await stream.peek()
    tap = stream.tap("client")
    async with stream:
        assert [chunk async for chunk in stream] == chunks
    assert await tap.read() == b"".join(chunks)

    stream = RewriteStream(Upstream(*chunks), Rewriter([]))
    tap = stream.tap("client")
    await stream.peek()
    await stream.aclose()
    assert await tap.read() == b""
