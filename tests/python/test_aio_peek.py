"""Looking at the first event before anything is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aio_peers import DONE, KEEP_ALIVE, MOMENT, RULES, Stream, Upstream, event, every_mode
from sse_fast import Event, Rewriter

pytestmark = pytest.mark.anyio


@every_mode
async def test_peek_loses_nothing(mode: dict[str, Any]) -> None:
    script = [b": wait\n\n", b"event: ping\n\n", b": more\n\n" + event(1) + event(2), event(3), DONE]
    for reads in 0, 1, 2:
        stream = Stream(Upstream(*script), **mode)
        for _ in range(reads):
            assert await stream.stream.peek() == Event(data='{"model":"alias", "usage":1}')
        assert b"".join(await stream.read()) == b"".join(script).replace(b'"x"', b'"alias"')
        assert stream.report.outcome == "completed"


@every_mode
@pytest.mark.parametrize("errors", ["raise", "event"])
async def test_peek_raises_an_early_error(mode: dict[str, Any], errors: str) -> None:
    upstream = Upstream(b": wait\n\n", error := OSError())
    stream = Stream(upstream, errors=errors, **mode)
    with pytest.raises(OSError) as raised:
        await stream.stream.peek()
    assert raised.value is error
    assert stream.report.outcome == "upstream_error"
    assert upstream.closings == 1
    assert await stream.read() == []


@every_mode
async def test_an_error_after_the_first_event_is_told_as_ever(mode: dict[str, Any]) -> None:
    rewriter = Rewriter(RULES, on_invalid="raise")
    stream = Stream(Upstream(event(1) + b"data: {broken\n\n"), rewriter, errors="event", **mode)
    assert await stream.stream.peek() == Event(data='{"model":"alias", "usage":1}')
    first, error = await stream.read()
    assert first == event(1, "alias")
    assert error.startswith(b"event: error\n")


async def test_peek_finds_nothing_where_nothing_is() -> None:
    for script in [], [b": only\n\n", b"id: 7\n\n"]:
        stream = Stream(Upstream(*script))
        assert await stream.stream.peek() is None
        assert await stream.read() == script
    endless = [b":" + b"." * 99_999 + b"\n"] * 20
    stream = Stream(Upstream(*endless), Rewriter([], max_held=1000))
    assert await stream.stream.peek() is None
    assert b"".join(await stream.read()) == b"".join(endless)


async def test_peek_sends_no_heartbeat_and_must_come_first() -> None:
    ready = asyncio.Event()
    stream = Stream(Upstream(ready, event(1)), heartbeat=MOMENT)
    asyncio.get_running_loop().call_later(5 * MOMENT, ready.set)
    assert await stream.stream.peek() == Event(data='{"model":"alias", "usage":1}')
    assert (await stream.read())[0] == event(1, "alias")
    with pytest.raises(RuntimeError, match="must come before the first output"):
        await stream.stream.peek()


async def test_who_leaves_after_a_peek_has_had_nothing() -> None:
    upstream = Upstream(DONE)
    stream = Stream(upstream)
    async with stream.stream as peeked:
        assert await peeked.peek() == Event(data="[DONE]")
    assert stream.report.outcome == "cancelled"
    assert upstream.closings == 1


@every_mode
async def test_a_peek_that_takes_too_long_leaves_the_stream_whole(mode: dict[str, Any]) -> None:
    ready = asyncio.Event()
    upstream = Upstream(b": wait\n\n", ready, event(1), DONE)
    stream = Stream(upstream, **mode)
    assert await stream.stream.peek(timeout=MOMENT) is None
    assert await stream.stream.peek(timeout=MOMENT) is None
    assert upstream.asked == 2  # the same read goes on
    ready.set()
    assert await stream.stream.peek(timeout=60.0) == Event(data='{"model":"alias", "usage":1}')
    assert await stream.read() == [b": wait\n\n", event(1, "alias"), DONE]
    assert stream.report.outcome == "completed"
    assert upstream.closings == 1


async def test_what_came_after_the_peek_gave_up_is_kept() -> None:
    ready = asyncio.Event()
    upstream = Upstream(ready, event(1), event(2))
    stream = Stream(upstream)
    assert await stream.stream.peek(timeout=MOMENT) is None
    ready.set()
    await asyncio.sleep(2 * MOMENT)
    assert upstream.asked == 2  # and no further read has begun
    assert await stream.read() == [event(1, "alias"), event(2, "alias")]


@every_mode
async def test_who_leaves_after_a_peek_took_too_long(mode: dict[str, Any]) -> None:
    upstream = Upstream(asyncio.Event())
    stream = Stream(upstream, drain_timeout=MOMENT, **mode)
    async with stream.stream as peeked:
        assert await peeked.peek(timeout=MOMENT) is None
    while not stream.reports:  # a drain goes on in the background
        await asyncio.sleep(MOMENT)
    assert stream.report.outcome == "cancelled"
    assert upstream.closings == 1


async def test_heartbeats_begin_after_a_peek_that_took_too_long() -> None:
    ready = asyncio.Event()
    stream = Stream(Upstream(ready, event(1)), heartbeat=MOMENT)
    assert await stream.stream.peek(timeout=5 * MOMENT) is None
    outputs = []
    async with stream.stream as rewritten:
        async for output in rewritten:
            outputs.append(output)
            ready.set()
    assert outputs == [KEEP_ALIVE, event(1, "alias")]


@every_mode
async def test_a_peek_with_time_to_spare(mode: dict[str, Any]) -> None:
    stream = Stream(Upstream(event(1), error := OSError()), **mode)
    assert await stream.stream.peek(timeout=60.0) == Event(data='{"model":"alias", "usage":1}')
    assert await stream.read_until_it_raises(OSError) == [event(1, "alias")]
    assert stream.report.error is error
    assert await Stream(Upstream(), **mode).stream.peek(timeout=60.0) is None
    with pytest.raises(OSError):
        await Stream(Upstream(error), **mode).stream.peek(timeout=60.0)
