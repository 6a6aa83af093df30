"""Idle timeouts and heartbeats."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aio_peers import DONE, KEEP_ALIVE, LONG, MOMENT, RULES, OwnDialect, Stream, Upstream, event
from sse_fast import DropEvent, Equals, IdleTimeoutError, Rewriter
from sse_fast.aio import RewriteStream

pytestmark = pytest.mark.anyio


async def test_no_timeout_comes_while_a_source_is_closed() -> None:
    class Slow(Upstream):
        async def aclose(self) -> None:
            await asyncio.sleep(5 * MOMENT)
            await super().aclose()

    for script, outcome in [([event(1)], "completed"), ([event(1), OSError()], "upstream_error")]:
        stream = Stream(Slow(*script), errors="event", idle_timeout=2 * MOMENT, heartbeat=MOMENT)
        first, *_ = await stream.read()
        assert first == event(1, "alias")
        assert stream.report.outcome == outcome


async def test_a_source_that_takes_long_to_be_timed_out_is_timed_out_all_the_same() -> None:
    class Stubborn:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield event(1)
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                for _ in range(3):  # as many timeouts ring meanwhile
                    try:
                        await asyncio.sleep(LONG)
                    except asyncio.CancelledError:
                        continue
                raise

    stream = Stream(Stubborn(), idle_timeout=MOMENT)
    assert await stream.read_until_it_raises(IdleTimeoutError) == [event(1, "alias")]
    assert stream.report.outcome == "idle_timeout"


async def test_comments_and_heartbeats_do_not_feed_the_idle_timeout() -> None:
    class Chatty:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield event(1)
            while True:
                await asyncio.sleep(MOMENT)
                yield b": OPENROUTER PROCESSING\n\n"

    async def read(errors: str) -> None:
        stream = Stream(Chatty(), idle_timeout=1, heartbeat=MOMENT / 2, errors=errors)
        if errors == "raise":
            outputs = await stream.read_until_it_raises(IdleTimeoutError)
        else:
            *outputs, last = await stream.read()
            assert last.startswith(b"event: error\n")
        assert stream.report.outcome == "idle_timeout"
        assert KEEP_ALIVE in outputs
        assert b": OPENROUTER PROCESSING\n\n" in outputs

    await asyncio.gather(read("raise"), read("event"))


async def test_events_that_the_client_does_not_see_feed_the_idle_timeout() -> None:
    class Hidden:
        def __init__(self, moment: float) -> None:
            self.moment = moment

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for _ in range(20):
                await asyncio.sleep(self.moment)
                yield event(7)

    for moment in (MOMENT, 5 * MOMENT, 20 * MOMENT):  # a stall of the machine may be longer than a short timeout
        drop = Rewriter([DropEvent(Equals("$.usage", 7))])
        stream = Stream(Hidden(moment), drop, idle_timeout=12 * moment, errors="event")
        outputs = await stream.read()
        if stream.report.outcome == "completed":
            break
    assert outputs == []
    assert stream.report.outcome == "completed"


async def test_a_client_that_does_not_ask_is_no_idle_upstream() -> None:
    async with Stream(Upstream(*map(event, range(3))), idle_timeout=2 * MOMENT).stream as stream:
        for number in range(3):
            await asyncio.sleep(4 * MOMENT)
            assert await anext(stream) == event(number, "alias")


async def beats(stream: RewriteStream, number: int, keep_alive: bytes = KEEP_ALIVE) -> None:
    for _ in range(number):
        assert await anext(stream) == keep_alive


async def test_heartbeats_come_in_idle_time_and_lose_nothing() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    upstream = Upstream(first, event(1), event(2), second, event(3)[:7], event(3)[7:])
    stream = Stream(upstream, heartbeat=MOMENT)
    async with stream.stream as outputs:
        await beats(outputs, 3)
        first.set()
        assert await anext(outputs) == event(1, "alias")
        assert await anext(outputs) == event(2, "alias")
        await beats(outputs, 3)
        second.set()
        assert [output async for output in outputs if output != KEEP_ALIVE] == [event(3, "alias")]
    assert stream.report.outcome == "completed"


async def test_a_heartbeat_has_the_dialects_form() -> None:
    ready = asyncio.Event()
    async with Stream(Upstream(ready, event(99)), heartbeat=MOMENT, dialect=OwnDialect()).stream as stream:
        await beats(stream, 2, OwnDialect.keep_alive)
        ready.set()
        assert [output async for output in stream if output != OwnDialect.keep_alive] == [event(99, "alias")]


@pytest.mark.parametrize("dialect", [None, OwnDialect()], ids=["done", "terminal"])
async def test_heartbeats_stop_at_the_end(dialect: Any) -> None:
    closes = asyncio.Event()
    end = DONE if dialect is None else event(99)
    stream = Stream(Upstream(event(1), end, closes), heartbeat=MOMENT, dialect=dialect)
    asyncio.get_running_loop().call_later(8 * MOMENT, closes.set)
    assert await stream.read() == [event(1, "alias"), end.replace(b'"x"', b'"alias"')]


async def test_no_heartbeat_stands_inside_an_event() -> None:
    more = asyncio.Event()
    begin, end = b'data: {"model":"x", "content":"' + b"." * 100, b'."}\n\n'
    stream = Stream(Upstream(event(1), begin, more, end), Rewriter(RULES, max_held=64), heartbeat=MOMENT)
    asyncio.get_running_loop().call_later(8 * MOMENT, more.set)
    assert b"".join(await stream.read()) == event(1, "alias") + (begin + end).replace(b'"x"', b'"alias"')


async def test_a_bom_behind_a_heartbeat_goes() -> None:
    ready = asyncio.Event()
    async with Stream(Upstream(ready, b"\xef\xbb\xbf" + event(1), event(2)), heartbeat=MOMENT).stream as stream:
        await beats(stream, 1)
        ready.set()
        assert [output async for output in stream if output != KEEP_ALIVE] == [event(1, "alias"), event(2, "alias")]
    stream = Stream(Upstream(b"\xef\xbb\xbf" + event(1)), heartbeat=LONG)
    assert await stream.read() == [b"\xef\xbb\xbf" + event(1, "alias")]


async def test_a_heartbeat_that_comes_too_late_was_none() -> None:
    """The loop was busy while it and a chunk fell due: the chunk goes first, and nothing tells of a beat."""
    loop = asyncio.get_running_loop()
    chunk = b"\xef\xbb\xbf" + event(1)

    class Due(Upstream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            arrival = loop.create_future()
            loop.call_later(0.03, arrival.set_result, None)
            await arrival
            yield chunk

    loop.call_later(0.01, time.sleep, 0.05)
    stream = RewriteStream(Due(), Rewriter([]), heartbeat=0.04)
    tap = stream.tap("client")
    async with stream:
        received = b"".join([output async for output in stream])
    assert received == await tap.read()
    assert received == chunk or received.startswith(KEEP_ALIVE)
