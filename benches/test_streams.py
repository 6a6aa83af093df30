"""The streams are what they say, and every contender does the task: checked before anything is timed."""

import statistics

import contenders
import pytest
import streams
import workloads
from check import parsed
from contenders import SSE_FAST, Contender
from streams import SHAPES, Stream
from tasks import TASKS

SIZES = {"chat": 319, "messages": 118, "responses": 260, "gemini": 464}
SPECIAL = {
    "picture": lambda: streams.picture(5000),
    "mixed": lambda: streams.mixed(100),
    "nothing matches": lambda: streams.nothing_matches(40),
}
HERE = [contender for contender in (SSE_FAST, *contenders.RIVALS) if contender.is_here()]


@pytest.mark.parametrize("api", SHAPES)
def test_a_seed_gives_one_stream(api: str) -> None:
    assert streams.stream(api, 100, seed=7) == streams.stream(api, 100, seed=7)
    assert streams.stream(api, 100, seed=7) != streams.stream(api, 100, seed=8)


@pytest.mark.parametrize("api", SHAPES)
def test_sizes_are_those_of_the_field(api: str) -> None:
    stream = streams.stream(api)
    assert len(stream.events) == streams.EVENTS
    assert abs(statistics.median(map(len, stream.events)) - SIZES[api]) <= SIZES[api] * 0.01


@pytest.mark.parametrize("api", SHAPES)
def test_contents_vary(api: str) -> None:
    body = streams.stream(api).body
    assert len({len(event) for event in streams.stream(api).events}) > 10
    assert not body.isascii()
    assert all(escape in body for escape in (rb"\n", rb"\"model\"", rb"\u00e9"))


@pytest.mark.parametrize("api", SHAPES)
def test_expected_is_what_an_edit_of_the_parsed_json_gives(api: str) -> None:
    stream = streams.stream(api)
    for given, wanted in zip(parsed(stream.body), parsed(b"".join(stream.expected)), strict=True):
        if given[1] != "[DONE]":
            TASKS[api].edit(given[1])
        assert given == wanted


@pytest.mark.parametrize("size", [1 << 10, 1 << 16, 1 << 20])
def test_a_picture_has_its_size(size: int) -> None:
    stream = streams.picture(size)
    assert len(stream.body) == size
    parsed(stream.body)


def cuts(stream: Stream) -> list[list[bytes]]:
    body = stream.body
    return [list(stream.events), [body], streams.cut(body, 4096), streams.cut(body, 7), streams.cut(body, 1)]


@pytest.mark.parametrize("api", [*SHAPES, *SPECIAL])
@pytest.mark.parametrize("contender", HERE, ids=lambda contender: contender.name)
def test_contender_does_the_task(contender: Contender, api: str) -> None:
    stream = SPECIAL[api]() if api in SPECIAL else streams.stream(api, 40)
    prepared = contender.prepare(TASKS.get(api, TASKS[stream.api]))
    for chunks in cuts(stream):
        output = b"".join(workloads.outputs(contender, prepared(), chunks))
        assert parsed(output) == parsed(b"".join(stream.expected))
        if contender is SSE_FAST:
            assert output == b"".join(stream.expected)


FEEDS = [contender for contender in HERE if contender.kind == "feed"]


@pytest.mark.parametrize("contender", FEEDS, ids=lambda contender: contender.name)
def test_contender_gives_each_event_with_the_chunk_that_completes_it(contender: Contender) -> None:
    stream = streams.stream("chat", 40)
    feed = contender.prepare(TASKS["chat"])()
    for event, wanted in zip(stream.events, stream.expected, strict=True):
        assert feed(event[:9]) == b""
        assert parsed(feed(event[9:])) == parsed(wanted)
