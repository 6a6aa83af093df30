"""What `sse_fast.aio` promises (SPEC section 5), without sockets; `live/` has the sockets and the cancels."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from aio_peers import DONE, LONG, PUMPED, RULES, Stream, Upstream, event, every_mode
from sse_fast import Rewriter, TruncatedError
from sse_fast.aio import RewriteStream, StreamReport

pytestmark = pytest.mark.anyio


# Backpressure.


@every_mode
async def test_the_source_is_asked_only_while_the_stream_is(mode: dict[str, Any]) -> None:
    upstream = Upstream(*map(event, range(5)))
    async with Stream(upstream, **mode).stream as stream:
        for number in range(5):
            assert upstream.asked == number
            assert await anext(stream) == event(number, "alias")
            for _ in range(5):
                await asyncio.sleep(0)
        assert upstream.asked == 5
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


@every_mode
async def test_each_output_is_one_chunk_and_never_empty(mode: dict[str, Any]) -> None:
    chunks = [event(1)[:5], event(1)[5:] + event(2), b"", event(3) + event(4)[:9], event(4)[9:-1], b"\n", DONE[:-1]]
    stream = Stream(Upstream(*chunks), **mode)
    outputs = [event(1, "alias") + event(2, "alias"), event(3, "alias"), event(4, "alias"), DONE]
    assert await stream.read() == outputs
    assert stream.report.outcome == "completed"


@pytest.mark.parametrize("leaves_at", [None, 0, 1], ids=["stays", "leaves at once", "leaves later"])
async def test_no_task_is_made_without_need(leaves_at: int | None) -> None:
    made = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    try:
        stream = Stream(Upstream(event(1), event(2)))
        async with stream.stream as outputs:
            number = 0
            async for _ in outputs:
                if number == leaves_at:
                    break
                number += 1
    finally:
        loop.set_task_factory(None)
    assert made == []
    assert stream.report.outcome == ("completed" if leaves_at is None else "cancelled")


# The end.


@every_mode
async def test_what_is_read_is_closed_once(mode: dict[str, Any]) -> None:
    for script in [event(1), DONE], [event(1), OSError()], [event(1), event(2)[:9]], []:
        upstream, response = Upstream(*script), Upstream()
        stream = Stream(upstream, response=response, **mode)
        try:
            await stream.read()
        except (OSError, TruncatedError) as error:
            assert stream.report.error is error  # noqa: PT017
        await stream.stream.aclose()
        await stream.stream.aclose()
        assert (upstream.closings, response.closings) == (1, 1)
        assert stream.report.duration is not None


@every_mode
async def test_a_stream_that_never_began_is_closed(mode: dict[str, Any]) -> None:
    for leave in True, False:
        upstream = Upstream(event(1), event(2), DONE)
        stream = Stream(upstream, **mode)
        if leave:
            async with stream.stream:
                pass
        else:
            await stream.stream.aclose()
        if "on_disconnect" in mode:
            while not stream.reports:
                await asyncio.sleep(0)
            assert stream.report.captured == {"usage": 2}
        assert upstream.closings == 1
        assert stream.report.outcome == "cancelled"


@every_mode
async def test_after_its_end_a_stream_stays_at_its_end(mode: dict[str, Any]) -> None:
    stream = Stream(Upstream(event(1)), **mode)
    assert len(await stream.read()) == 1
    assert [output async for output in stream.stream] == []
    with pytest.raises(StopAsyncIteration):
        await anext(stream.stream)


@pytest.mark.parametrize("mode", [{}, PUMPED["heartbeat"]], ids=["plain", "heartbeat"])
async def test_a_stream_that_is_dropped_is_closed(mode: dict[str, Any]) -> None:
    upstream = Upstream(event(1), event(2))
    stream = Stream(upstream, **mode)
    async for _ in stream.stream:
        break
    del stream.stream
    gc.collect()
    while not stream.reports:
        await asyncio.sleep(0)
    assert upstream.closings == 1
    assert stream.reports[0].outcome == "cancelled"


@every_mode
async def test_who_leaves_after_the_end_of_the_events_has_had_it_all(mode: dict[str, Any]) -> None:
    hangs = asyncio.Event()
    upstream = Upstream(event(1), DONE, hangs)
    stream = Stream(upstream, **mode)
    async with stream.stream as outputs:
        async for output in outputs:
            if output == DONE:
                break
    assert stream.report.outcome == "completed"
    assert upstream.closings == 1


@every_mode
async def test_a_close_that_fails_hides_nothing(mode: dict[str, Any]) -> None:
    first, second = OSError("first"), OSError("second")
    stream = Stream(Upstream(event(1), first, close_error=second), **mode)
    assert await stream.read_until_it_raises(OSError) == [event(1, "alias")]
    stream = Stream(Upstream(DONE, close_error=second), **mode)
    assert await stream.read() == [DONE]
    assert stream.report.error is second
    assert stream.report.outcome == "completed"


async def test_an_on_end_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def on_end(report: StreamReport) -> None:
        raise KeyError("mine")

    async with RewriteStream(Upstream(event(1)), Rewriter(RULES), on_end=on_end) as stream:
        assert [output async for output in stream] == [event(1, "alias")]
    (record,) = [record for record in caplog.records if record.name == "sse_fast"]
    assert record.levelno == logging.ERROR
    assert "mine" in str(record.exc_info)


# The report.


async def test_a_stream_that_has_ended_has_one_report() -> None:
    stream = Stream(Upstream(event(1)))
    await stream.read()
    assert stream.stream.report is stream.stream.report is stream.reports[0]


async def test_the_report_tells_as_the_stream_goes() -> None:
    stream = Stream(Upstream(b": wait\n\n", event(1), event(2), DONE))
    assert stream.stream.report.outcome is None
    async with stream.stream as outputs:
        assert stream.stream.report.first_byte is None
        await anext(outputs)
        early = stream.stream.report
        assert early.first_byte is not None
        assert early.first_data is None
        await anext(outputs)
        middle = stream.stream.report
        assert middle.first_byte == early.first_byte
        assert middle.first_data is not None
        assert middle.first_data >= early.first_byte
        assert middle.captured == {"usage": 1}
        assert middle.duration is None
        assert len([output async for output in outputs]) == 2
    assert stream.report.stats is not None
    assert stream.report.stats.events == 3
    assert stream.report.first_data == middle.first_data
    assert stream.report.duration is not None
    assert stream.report.duration >= middle.first_data


async def test_anything_with_feed_and_finish_will_do() -> None:
    class Upper:
        def feed(self, data: bytes) -> bytes:
            return data.upper()

        def finish(self) -> bytes:
            return b"END"

    stream = Stream(Upstream(b"a", b"b"), Upper(), heartbeat=LONG, idle_timeout=LONG)
    assert await stream.read() == [b"A", b"B", b"END"]
    assert stream.report.captured == {}
    assert stream.report.stats is None
    assert stream.report.first_data is not None


# Use and misuse.


def test_bad_options_are_refused() -> None:
    async def scenario() -> None:
        for options, message in [
            ({"errors": "ignore"}, "errors must be 'raise' or 'event', not 'ignore'"),
            ({"on_disconnect": "stay"}, "on_disconnect must be 'cancel' or 'drain', not 'stay'"),
            ({"heartbeat": 0}, "heartbeat must be more than 0 seconds, not 0"),
            ({"idle_timeout": -1}, "idle_timeout must be more than 0 seconds, not -1"),
            ({"drain_timeout": 0.0}, r"drain_timeout must be more than 0 seconds, not 0\.0"),
        ]:
            with pytest.raises(ValueError, match=f"^{message}$"):
                RewriteStream(Upstream(), Rewriter(RULES), **options)  # type: ignore[arg-type]
        for source, message in [
            ([b"x"], "source is a list, no async iterable of bytes .*; rewrite_iter takes what is not async"),
            (7, "source is a int, no async iterable of bytes and no response of httpx or aiohttp"),
        ]:
            with pytest.raises(TypeError, match=f"^{message}$"):
                RewriteStream(source, Rewriter(RULES))
        stream = RewriteStream(Upstream(), Rewriter(RULES))
        with pytest.raises(ValueError, match="side must be 'upstream' or 'client', not 'both'"):
            stream.tap("both")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="max_bytes must not be negative: -1"):
            stream.tap(max_bytes=-1)
        await stream.aclose()

    asyncio.run(scenario())
