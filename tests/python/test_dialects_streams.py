"""Whole streams of each API: how they end, are cut, fail, are cancelled and kept alive."""

from __future__ import annotations

import asyncio
from typing import Any

import dialect_oracle
import dialect_streams
import pytest
import support
from aio_peers import LONG, MOMENT, Upstream
from dialect_oracle import ALL, full_parse
from dialect_runs import (
    SECRET,
    TIMEOUTS,
    ReadTimeout,
    each_api,
    gather,
    message_for,
    parts,
    passed,
    rewriter_for,
    whole,
)
from dialect_streams import STREAMS
from oracle import blocks_of, dispatched
from sse_fast import Rewriter, Rules, TruncatedError
from sse_fast.aio import RewriteStream, StreamReport, rewrite_iter
from sse_fast.dialects import chat_completions, get, messages

# The end.


ENDINGS = {
    "chat_completions": {
        "no done": (False, True),
        "no final blank line": (False, True),
        "usage of groq": (True, True),
        "two choices": (False, True),
    },
    "messages": {"more after the end": (False, True), "thoughts": (True, True), "no final blank line": (True, True)},
    "responses": {
        "more after an error": (True, True),
        "incomplete": (True, True),
        "failed": (True, True),
        "nested error": (True, True),
    },
    "gemini": {"blocked": (True, True), "thoughts": (True, True)},
    "completions": {},
}
ENDS = [
    (api, name, ends)
    for api, more in ENDINGS.items()
    for name, ends in ({"plain": (True, True), "error": (True, True), "early end": (False, False)} | more).items()
    if name in STREAMS[api]
]


@pytest.mark.parametrize(("api", "name", "ends"), ENDS)
def test_is_terminal_and_is_complete(api, name, ends):
    dialect = get(api)
    out, report = passed(dialect, STREAMS[api][name])
    assert (dialect.is_terminal(report), dialect.is_complete(report)) == ends
    assert report.outcome == ("completed" if ends[1] else "truncated")
    assert out.startswith(STREAMS[api][name])
    is_told = out.endswith(dialect.error_event(TruncatedError(""), report))
    assert is_told == (not ends[1])


@each_api
def test_without_captures_any_end_between_events_is_good(api):
    dialect, stream = get(api), STREAMS[api]["early end"]
    with rewrite_iter([stream], Rewriter(()), dialect=dialect) as outputs:
        assert b"".join(outputs) == stream
    assert outputs.report.outcome == "completed"
    assert dialect.is_complete(outputs.report)
    assert not dialect.is_terminal(outputs.report)
    # Half an event is no good in any case.
    with rewrite_iter([STREAMS[api]["cut"]], Rewriter(()), dialect=dialect, errors="event") as outputs:
        out = b"".join(outputs)
    assert outputs.report.outcome == "truncated"
    assert out.endswith(dialect.error_event(TruncatedError(""), outputs.report))


def test_done_ends_a_chat_without_captures():
    assert chat_completions.is_terminal(StreamReport(stats=_stats(dialect_streams.DONE)))
    assert not messages.is_terminal(StreamReport(stats=_stats(dialect_streams.DONE)))


def _stats(stream: bytes) -> Any:
    rewriter = Rewriter(())
    support.through(rewriter, [stream])
    return rewriter.stats


def test_recorded_streams_are_complete_but_for_the_cut_ones():
    """F26: whether a stream has ended well is known from what it says, for every server that was recorded."""
    for name, recording in dialect_streams.RECORDED.items():
        dialect, values = get(recording.api), dialect_oracle.values_of(recording.stream)
        said = full_parse(recording.api, recording.stream)
        types = [value.get("type") for value in values if isinstance(value, dict)]
        ended = {
            "messages": types[-1:] == ["message_stop"],
            "responses": types[-1:]
            in (["response.completed"], ["response.incomplete"], ["response.failed"], ["error"]),
        }.get(recording.api, said["finish"] is not None or b"data: [DONE]" in recording.stream)
        ended = ended or any("error" in value for value in values if isinstance(value, dict))
        ended = ended and not dialect_oracle.parsed(recording.stream)[1].data  # half an event
        assert passed(dialect, recording.stream)[1].outcome == ("completed" if ended else "truncated"), name


# Streams of each API.


@each_api
def test_utf8_cut_anywhere(api):
    """F1: in every place, in the middle of every character."""
    dialect, stream = get(api), whole(api)
    should = support.run(Rules(dialect.rules(**ALL)), stream)
    assert should != stream
    assert dialect_streams.TEXT.encode() in should
    usage = dialect.usage(passed(dialect, stream)[1])
    cuts = [[place] for place in range(1, len(stream))]
    for chunks in [*(support.cut(stream, places) for places in cuts), support.bytewise(stream)]:
        with rewrite_iter(chunks, rewriter_for(dialect, **ALL), dialect=dialect) as outputs:
            assert b"".join(outputs) == should
        assert outputs.report.outcome == "completed"
        assert dialect.usage(outputs.report) == usage


@each_api
def test_the_last_event_is_flushed(api):
    """F11: the upstream ends without the last blank line, or in the middle of the last line ending."""
    dialect, stream = get(api), whole(api).removesuffix(dialect_streams.DONE)
    should = support.run(Rules(dialect.rules(model="ours")), stream)
    usage = dialect.usage(passed(dialect, stream)[1])
    end = len(stream) - len(stream.rstrip(b"\r\n"))
    for less in range(1, end + 1):
        with rewrite_iter([stream[:-less]], rewriter_for(dialect, model="ours"), dialect=dialect) as outputs:
            out = b"".join(outputs)
        assert dispatched(out) == dispatched(should)
        assert outputs.report.outcome == "completed"
        assert dialect.usage(outputs.report) == usage


@each_api
@pytest.mark.anyio
@pytest.mark.parametrize(
    "options", [{}, {"heartbeat": LONG}, {"idle_timeout": LONG}], ids=["plain", "heartbeat", "idle"]
)
@pytest.mark.parametrize("error", [ConnectionResetError(SECRET), ReadTimeout(SECRET)], ids=lambda e: type(e).__name__)
async def test_an_upstream_s_error_is_told(api, options, error):
    dialect, (events, half, _) = get(api), parts(api)
    upstream = Upstream(events, half, error)
    stream = RewriteStream(upstream, rewriter_for(dialect, model="ours"), dialect=dialect, errors="event", **options)
    out = await gather(stream)
    should = support.run(Rules(dialect.rules(model="ours")), events)
    assert out == should + dialect.error_event(error, stream.report)
    assert message_for(error if isinstance(error, OSError) else TIMEOUTS[0]).encode() in out
    assert SECRET.encode() not in out
    assert (stream.report.outcome, stream.report.error, upstream.closings) == ("upstream_error", error, 1)


@each_api
@pytest.mark.anyio
async def test_an_upstream_s_error_is_raised(api):
    dialect, (events, half, _) = get(api), parts(api)
    error, outputs = ConnectionResetError(SECRET), []
    stream = RewriteStream(Upstream(events, half, error), rewriter_for(dialect, model="ours"), dialect=dialect)

    async def read() -> None:
        async with stream:
            async for output in stream:
                outputs.append(output)

    with pytest.raises(ConnectionResetError) as raised:
        await read()
    assert raised.value is error
    assert b"".join(outputs) == support.run(Rules(dialect.rules(model="ours")), events)


@each_api
@pytest.mark.anyio
@pytest.mark.parametrize("name", ["cut", "early end"])
async def test_a_truncated_stream_is_told(api, name):
    """F26: never a clean end."""
    dialect = get(api)
    stream = RewriteStream(Upstream(STREAMS[api][name]), rewriter_for(dialect), dialect=dialect, errors="event")
    out = await gather(stream)
    assert stream.report.outcome == "truncated"
    told = dialect.error_event(stream.report.error, stream.report)
    events = blocks_of(STREAMS[api][name])[1]
    assert out == b"".join(block.raw for block in events) + told
    with pytest.raises(TruncatedError):
        await gather(RewriteStream(Upstream(STREAMS[api][name]), rewriter_for(dialect), dialect=dialect))


@each_api
@pytest.mark.anyio
@pytest.mark.parametrize(
    "options", [{}, {"heartbeat": LONG}, {"idle_timeout": LONG}], ids=["plain", "heartbeat", "idle"]
)
async def test_a_cancel_closes_the_upstream(api, options):
    """F23, F25: and what was used so far is known."""
    dialect, (events, half, _) = get(api), parts(api)
    upstream, outputs, reports = Upstream(events, half, asyncio.Event()), [], []
    rewriter = rewriter_for(dialect, model="ours")
    stream = RewriteStream(upstream, rewriter, dialect=dialect, errors="event", on_end=reports.append, **options)

    async def read() -> None:
        async with stream:
            async for output in stream:
                outputs.append(output)

    task = asyncio.create_task(read())
    while upstream.asked < 3:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b"".join(outputs) == support.run(Rules(dialect.rules(model="ours")), events)
    (report,) = reports
    assert (report.outcome, upstream.closings) == ("cancelled", 1)
    assert report.captured["model"] == "x-1"


@each_api
@pytest.mark.anyio
async def test_a_client_that_leaves_after_the_end_has_had_all(api):
    dialect = get(api)
    upstream = Upstream(whole(api), asyncio.Event())
    stream = RewriteStream(upstream, rewriter_for(dialect), dialect=dialect)
    async with stream:
        assert await anext(stream) == whole(api)
    assert (stream.report.outcome, upstream.closings) == ("completed", 1)


@each_api
@pytest.mark.anyio
async def test_keep_alives_come_at_boundaries_and_not_after_the_end(api):
    """F15."""
    dialect, (events, half, rest) = get(api), parts(api)
    gates = [asyncio.Event() for _ in range(3)]
    upstream = Upstream(events, gates[0], half, gates[1], rest, gates[2])
    stream = RewriteStream(upstream, rewriter_for(dialect), dialect=dialect, heartbeat=MOMENT)
    async with stream:
        assert await anext(stream) == events
        assert await anext(stream) == dialect.keep_alive
        gates[0].set()
        while upstream.asked < 4:
            await asyncio.sleep(0)
        assert await anext(stream) == dialect.keep_alive  # half an event is held meanwhile, and stays whole
        gates[1].set()
        while (output := await anext(stream)) == dialect.keep_alive:
            pass
        assert output == half + rest
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(4 * MOMENT)
        assert not waiting.done()
        gates[2].set()
        with pytest.raises(StopAsyncIteration):
            await waiting


@each_api
@pytest.mark.anyio
async def test_an_idle_upstream_is_told_as_a_timeout(api):
    dialect, (events, half, _) = get(api), parts(api)
    upstream = Upstream(events, half, asyncio.Event())
    stream = RewriteStream(upstream, rewriter_for(dialect), dialect=dialect, errors="event", idle_timeout=MOMENT)
    out = await gather(stream)
    assert out == events + dialect.error_event(TimeoutError(), stream.report)
    assert (stream.report.outcome, upstream.closings) == ("idle_timeout", 1)
