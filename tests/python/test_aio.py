"""What `sse_fast.aio` promises (SPEC section 5), without sockets; `live/` has the sockets and the cancels."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import anyio
import pytest
from sse_fast import (
    Capture,
    DropEvent,
    Equals,
    Event,
    IdleTimeoutError,
    InvalidEventError,
    Rewriter,
    Rules,
    TruncatedError,
)
from sse_fast import Set as SetRule
from sse_fast.aio import RewriteStream, StreamReport, rewrite_iter

pytestmark = pytest.mark.anyio

RULES = Rules([SetRule("$.model", "alias"), Capture("usage", "$.usage")])
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
MOMENT = 0.01
LONG = 3600.0

PUMPED: dict[str, dict[str, Any]] = {
    "heartbeat": {"heartbeat": LONG},
    "idle timeout": {"idle_timeout": LONG},
    "drain": {"on_disconnect": "drain"},
}
every_mode = pytest.mark.parametrize("mode", [{}, *PUMPED.values()], ids=["plain", *PUMPED])


def event(number: int, model: str = "x") -> bytes:
    return b'data: {"model":"%s", "usage":%d}\n\n' % (model.encode(), number)


class Upstream:
    """Sends chunks, waits at an `asyncio.Event`, raises exceptions; counts what is asked of it."""

    def __init__(self, *script: Any, close_error: Exception | None = None) -> None:
        self.script = script
        self.close_error = close_error
        self.asked = 0
        self.closings = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self.script:
            self.asked += 1
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, BaseException):
                raise step
            else:
                yield step

    async def aclose(self) -> None:
        self.closings += 1
        await asyncio.sleep(0)
        if self.close_error is not None:
            raise self.close_error


class Stream:
    """A stream with its reports."""

    def __init__(self, upstream: Any, rewriter: Any = None, **options: Any) -> None:
        self.reports: list[StreamReport] = []
        rewriter = Rewriter(RULES) if rewriter is None else rewriter
        self.stream = RewriteStream(upstream, rewriter, on_end=self.reports.append, **options)

    @property
    def report(self) -> StreamReport:
        (report,) = self.reports
        assert report == self.stream.report
        return report

    async def read(self) -> list[bytes]:
        async with self.stream as stream:
            return [output async for output in stream]

    async def read_until_it_raises(self, error: type[BaseException]) -> list[bytes]:
        outputs: list[bytes] = []

        async def read() -> None:
            async with self.stream as stream:
                async for output in stream:
                    outputs.append(output)

        with pytest.raises(error) as raised:
            await read()
        assert raised.value is self.report.error
        return outputs


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
    (record,) = caplog.records
    assert record.name == "sse_fast"
    assert record.levelno == logging.ERROR
    assert "mine" in str(record.exc_info)


# Errors.

EARLY_ENDS = {"upstream_error": OSError("no route to 10.0.0.1"), "truncated": None}


@every_mode
@pytest.mark.parametrize("outcome", EARLY_ENDS)
async def test_an_early_end_gives_whole_events_and_the_error(mode: dict[str, Any], outcome: str) -> None:
    error = EARLY_ENDS[outcome]
    script = [event(1), event(2) + event(3)[:12], *([error] if error else [])]
    stream = Stream(Upstream(*script), **mode)
    outputs = await stream.read_until_it_raises(type(error) if error else TruncatedError)
    assert outputs == [event(1, "alias"), event(2, "alias")]
    assert stream.report.outcome == outcome

    stream = Stream(Upstream(*script), errors="event", **mode)
    *outputs, last = await stream.read()
    assert outputs == [event(1, "alias"), event(2, "alias")]
    assert last.startswith(b"event: error\ndata: {")
    assert last.endswith(b"}\n\n")
    assert json.loads(last.split(b"data: ")[1])["error"]["type"] == outcome
    assert b"10.0.0.1" not in last
    assert stream.report.outcome == outcome
    assert stream.report.captured == {"usage": 2}


class OwnDialect:
    keep_alive = b'event: ping\ndata: {"type": "ping"}\n\n'

    def is_terminal(self, report: StreamReport) -> bool:
        return report.captured["usage"] == 99

    def error_event(self, error: BaseException, report: StreamReport) -> bytes:
        return b"event: error\ndata: %s after %d\n\n" % (type(error).__name__.encode(), report.captured["usage"])


@every_mode
async def test_the_dialect_writes_the_error_and_knows_the_end(mode: dict[str, Any]) -> None:
    dialect = OwnDialect()
    stream = Stream(Upstream(event(1), OSError()), dialect=dialect, errors="event", **mode)
    assert await stream.read() == [event(1, "alias"), b"event: error\ndata: OSError after 1\n\n"]

    stream = Stream(Upstream(event(1), event(2)[:-1]), dialect=dialect, errors="event", **mode)
    assert await stream.read() == [
        event(1, "alias"),
        event(2, "alias"),
        b"event: error\ndata: TruncatedError after 2\n\n",
    ]
    assert stream.report.outcome == "truncated"

    stream = Stream(Upstream(event(1), event(99)), dialect=dialect, **mode)
    assert await stream.read() == [event(1, "alias"), event(99, "alias")]
    assert stream.report.outcome == "completed"


@pytest.mark.parametrize("tail", [b"event: x\n", b"id: 7", b": c\r\nevent: x\r\n", b"data", b"id: 1\nretry: 3\n"])
async def test_an_event_whose_data_never_came_is_half_an_event(tail: bytes) -> None:
    stream = Stream(Upstream(event(1), tail))
    assert await stream.read_until_it_raises(TruncatedError) == [event(1, "alias")]
    assert stream.report.outcome == "truncated"


@pytest.mark.parametrize(
    "tail", [b": c\n", b": c", b"retry: 3\n", b'{"error": {\n  "code": 503\n}}\n', b"\xef\xbb\xbf"]
)
async def test_what_is_no_event_is_no_half_event(tail: bytes) -> None:
    stream = Stream(Upstream(event(1), tail))
    assert b"".join(await stream.read()) == event(1, "alias") + tail
    assert stream.report.outcome == "completed"


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


@every_mode
async def test_an_error_of_the_rewriter_comes_after_what_was_whole(mode: dict[str, Any]) -> None:
    for errors in "raise", "event":
        rewriter = Rewriter(RULES, on_invalid="raise")
        stream = Stream(Upstream(event(1) + b"data: {broken\n\n" + event(2)), rewriter, errors=errors, **mode)
        if errors == "raise":
            assert await stream.read_until_it_raises(InvalidEventError) == [event(1, "alias")]
        else:
            first, error = await stream.read()
            assert first == event(1, "alias")
            assert error.startswith(b"event: error\n")
        assert stream.report.outcome == "upstream_error"


@pytest.mark.parametrize("errors", ["raise", "event"])
async def test_half_an_event_that_is_out_is_never_ended(errors: str) -> None:
    large = b'data: {"model":"x", "content":"' + b"." * 1000
    stream = Stream(Upstream(large, large[:3] * 100, OSError()), Rewriter(RULES, max_held=64), errors=errors)
    outputs = b"".join(await stream.read_until_it_raises(OSError))
    assert outputs.startswith(b'data: {"model":"alias", "content":"...')
    assert b"\n" not in outputs


# Time.


@pytest.mark.parametrize("errors", ["raise", "event"])
async def test_comments_and_heartbeats_do_not_feed_the_idle_timeout(errors: str) -> None:
    class Chatty:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield event(1)
            while True:
                await asyncio.sleep(MOMENT)
                yield b": OPENROUTER PROCESSING\n\n"

    stream = Stream(Chatty(), idle_timeout=10 * MOMENT, heartbeat=MOMENT / 2, errors=errors)
    if errors == "raise":
        outputs = await stream.read_until_it_raises(IdleTimeoutError)
    else:
        *outputs, last = await stream.read()
        assert last.startswith(b"event: error\n")
    assert stream.report.outcome == "idle_timeout"
    assert KEEP_ALIVE in outputs
    assert b": OPENROUTER PROCESSING\n\n" in outputs


async def test_events_that_the_client_does_not_see_feed_the_idle_timeout() -> None:
    class Hidden:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for _ in range(20):
                await asyncio.sleep(MOMENT)
                yield event(7)

    drop = Rewriter([DropEvent(Equals("$.usage", 7))])
    stream = Stream(Hidden(), drop, idle_timeout=12 * MOMENT)
    assert await stream.read() == []
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


# Peek.


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


# The report.


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


# The same for synchronous code.


class SyncUpstream:
    def __init__(self, *script: Any) -> None:
        self.script = script
        self.closings = 0

    def __iter__(self) -> Iterator[bytes]:
        for step in self.script:
            if isinstance(step, BaseException):
                raise step
            yield step

    def close(self) -> None:
        self.closings += 1


def rewritten(upstream: Iterable[bytes], reports: list[StreamReport], **options: Any) -> Iterator[bytes]:
    return rewrite_iter(upstream, Rewriter(RULES), on_end=reports.append, **options)


def test_rewrite_iter_is_the_same() -> None:
    for script, errors, outputs, outcome in [
        ([event(1), event(2)[:9], event(2)[9:-1]], "raise", [event(1, "alias"), event(2, "alias")], "completed"),
        ([event(1), event(2)[:9]], "raise", [event(1, "alias"), TruncatedError], "truncated"),
        ([event(1), OSError()], "raise", [event(1, "alias"), OSError], "upstream_error"),
        ([event(1), OSError()], "event", [event(1, "alias"), b"event: error\n"], "upstream_error"),
    ]:
        upstream, reports, seen = SyncUpstream(*script), [], []
        iterator = rewritten(upstream, reports, errors=errors)
        try:
            for output in iterator:
                seen.append(output)
        except (TruncatedError, OSError) as error:
            seen.append(type(error))
        assert upstream.closings == 1
        assert [report.outcome for report in reports] == [outcome]
        assert seen[:-1] == outputs[:-1]
        assert seen[-1] == outputs[-1] or seen[-1].startswith(outputs[-1])


def test_rewrite_iter_closes() -> None:
    for begins in True, False:
        upstream, reports = SyncUpstream(event(1), event(2)), []
        with rewrite_iter(upstream, Rewriter(RULES), on_end=reports.append) as iterator:
            if begins:
                assert next(iterator) == event(1, "alias")
        iterator.close()
        assert upstream.closings == 1
        assert [report.outcome for report in reports] == ["cancelled"]
        assert iterator.report == reports[0]
        assert list(iterator) == []


def test_rewrite_iter_closes_before_it_tells_of_an_error() -> None:
    upstream = SyncUpstream(event(1), OSError())
    iterator = rewrite_iter(upstream, Rewriter(RULES), errors="event")
    assert next(iterator) == event(1, "alias")
    assert upstream.closings == 0
    assert next(iterator).startswith(b"event: error\n")
    assert upstream.closings == 1
