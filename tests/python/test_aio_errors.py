"""How streams fail: whole events first, then the error, raised or told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aio_peers import LONG, MOMENT, RULES, OwnDialect, Stream, Upstream, event, every_mode
from sse_fast import InvalidEventError, RefusalError, Rewriter, TruncatedError
from sse_fast.aio import RewriteStream

pytestmark = pytest.mark.anyio


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


# Ended from outside ------------------------------------------------------------------------------------


SHUTS_DOWN = RefusalError(503, "the gateway is shutting down")


@every_mode
@pytest.mark.parametrize("when", ["before", "between", "while it reads"])
async def test_fail_ends_a_stream_with_an_error_event(mode: dict[str, Any], when: str) -> None:
    upstream = Upstream(event(1), asyncio.Event())
    stream = Stream(upstream, errors="event", **mode)
    if when == "before":
        stream.stream.fail(SHUTS_DOWN)
    outputs = []
    async with stream.stream as rewritten:
        async for output in rewritten:
            outputs.append(output)
            if when == "between":
                rewritten.fail(SHUTS_DOWN)
            elif when == "while it reads":
                asyncio.get_running_loop().call_later(MOMENT, rewritten.fail, SHUTS_DOWN)
    told = b'event: error\ndata: {"error":{"type":"upstream_error","message":"the gateway is shutting down"}}\n\n'
    assert outputs == ([told] if when == "before" else [event(1, "alias"), told])
    assert stream.report.outcome == "upstream_error"
    assert stream.report.error is SHUTS_DOWN
    assert upstream.closings == 1
    rewritten.fail(OSError())  # it has ended
    assert stream.report.error is SHUTS_DOWN


@every_mode
async def test_fail_raises_where_errors_are_raised(mode: dict[str, Any]) -> None:
    stream = Stream(Upstream(event(1), asyncio.Event()), **mode)
    asyncio.get_running_loop().call_later(MOMENT, stream.stream.fail, SHUTS_DOWN)
    assert await stream.read_until_it_raises(RefusalError) == [event(1, "alias")]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_fail_in_the_middle_of_an_event() -> None:
    stream = Stream(Upstream(event(1) + b'data: {"mod', asyncio.Event()), errors="event", idle_timeout=LONG)
    asyncio.get_running_loop().call_later(MOMENT, stream.stream.fail, SHUTS_DOWN)
    first, told = await stream.read()
    assert first == event(1, "alias")
    assert told.startswith(b"event: error\n")


@every_mode
async def test_a_cancel_just_before_fail_or_aclose_is_not_theirs(mode: dict[str, Any]) -> None:
    for end in (lambda stream: stream.fail(OSError()), lambda stream: stream.aclose()):
        stream = RewriteStream(Upstream(event(1), asyncio.Event()), Rewriter(RULES), errors="event", **mode)

        async def read(stream: RewriteStream = stream) -> None:
            async for _ in stream:
                pass

        reader = asyncio.create_task(read())
        await asyncio.sleep(MOMENT)
        reader.cancel()
        ending = end(stream)
        with pytest.raises(asyncio.CancelledError):
            await reader
        if ending is not None:
            await ending


@every_mode
async def test_a_source_that_takes_the_cancel_for_its_end(mode: dict[str, Any]) -> None:
    """The reader has no cancel left over; of `fail` it is told all the same."""

    class Swallows(Upstream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield event(1)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(LONG)

    async def read(stream: RewriteStream) -> tuple[list[bytes], int]:
        outputs = [output async for output in stream]
        task = asyncio.current_task()
        assert task is not None
        return outputs, task.cancelling()

    for fails in (True, False):
        stream = RewriteStream(Swallows(), Rewriter(RULES), errors="event", dialect=OwnDialect(), **mode)
        reader = asyncio.create_task(read(stream))
        await asyncio.sleep(MOMENT)
        if fails:
            stream.fail(OSError())
        await (reader if fails else stream.aclose())
        outputs, cancelling = await reader
        assert cancelling == 0
        assert outputs == [event(1, "alias")] + [b"event: error\ndata: OSError after 1\n\n"] * fails
        await stream.aclose()
        assert stream.report.outcome == ("upstream_error" if fails else "cancelled")


@every_mode
async def test_a_cancel_of_something_else_while_closing_hides_no_error(mode: dict[str, Any]) -> None:
    class Helped(Upstream):
        async def aclose(self) -> None:
            self.closings += 1
            helper = asyncio.create_task(asyncio.sleep(LONG))
            await asyncio.sleep(0)
            helper.cancel()
            await helper

    error = ConnectionResetError("first")
    stream = Stream(Helped(event(1), error), errors="event", dialect=OwnDialect(), **mode)
    assert await stream.read() == [event(1, "alias"), b"event: error\ndata: ConnectionResetError after 1\n\n"]
    assert (stream.report.outcome, stream.report.error) == ("upstream_error", error)
    stream = Stream(Helped(event(1)), **mode)
    assert await stream.read() == [event(1, "alias")]
    assert isinstance(stream.report.error, asyncio.CancelledError)


@every_mode
async def test_fail_in_the_body_of_the_loop_cancels_nobody(mode: dict[str, Any]) -> None:
    stream = Stream(Upstream(event(1), event(2)), errors="event", dialect=OwnDialect(), **mode)
    outputs = []
    async with stream.stream as chunks:
        async for chunk in chunks:
            outputs.append(chunk)
            if len(outputs) == 1:
                stream.stream.fail(OSError())
                await asyncio.sleep(0)
    assert outputs == [event(1, "alias"), b"event: error\ndata: OSError after 1\n\n"]


@every_mode
async def test_fail_and_aclose_reach_a_peek(mode: dict[str, Any]) -> None:
    for fails in (True, False):
        upstream = Upstream(asyncio.Event())
        stream = RewriteStream(upstream, Rewriter(RULES), **mode)
        peeking = asyncio.create_task(stream.peek())
        await asyncio.sleep(MOMENT)
        if fails:
            stream.fail(RefusalError(503, "no more"))
            with pytest.raises(RefusalError):
                await peeking
        else:
            await stream.aclose()
            assert await peeking is None
        if fails or "on_disconnect" not in mode:
            assert upstream.closings == 1


@every_mode
async def test_all_owners_are_closed_whatever_closing_raises(mode: dict[str, Any]) -> None:
    async def source() -> AsyncIterator[bytes]:
        try:
            yield event(1)
            yield event(2)
        finally:
            raise BaseExceptionGroup("closing", [asyncio.CancelledError(), OSError()])

    owner = Upstream()
    stream = Stream(source(), response=owner, **mode)
    with contextlib.suppress(BaseExceptionGroup):
        async with stream.stream as chunks:
            await anext(aiter(chunks))
    await asyncio.sleep(MOMENT)
    assert owner.closings == 1
    assert len(stream.reports) == 1
