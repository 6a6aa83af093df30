"""Parser: dispatches exactly as the standard does."""

from __future__ import annotations

import array
import dataclasses

import pytest
import support
from sse_fast import Event, FinishedError, Parser


def events(*chunks: bytes) -> list[tuple]:
    parser = Parser()
    return [(e.event, e.data, e.id, e.retry) for chunk in chunks for e in parser.feed(chunk)]


def seen(data: str, event: str = "message", last_id: str = "", retry: int | None = None) -> tuple:
    return (event, data, last_id, retry)


CASES = {
    "simple": (b"data: a\n\n", [seen("a")]),
    "one space goes": (b"data:  a\n\n", [seen(" a")]),
    "no space": (b"data:a\n\n", [seen("a")]),
    "several lines": (b"data: a\ndata:\ndata: b\n\n", [seen("a\n\nb")]),
    "field without colon": (b"data\n\n", [seen("")]),
    "two empty lines of data": (b"data\ndata\n\n", [seen("\n")]),
    "no data, no event": (b"event: e\nid: 1\n\n: c\n\nretry: 5\n\n", []),
    "id stays": (b"id: 1\n\ndata: a\n\ndata: b\n\n", [seen("a", last_id="1"), seen("b", last_id="1")]),
    "id is reset": (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [seen("a", last_id="1"), seen("b")]),
    "id with NUL is ignored": (b"id: 1\n\nid: 2\x00\ndata: a\n\n", [seen("a", last_id="1")]),
    "event name is for one event": (b"event: e\ndata: a\n\ndata: b\n\n", [seen("a", event="e"), seen("b")]),
    "event name of a block without data": (b"event: e\n\ndata: b\n\n", [seen("b")]),
    "empty event name": (b"event:\ndata: b\n\n", [seen("b")]),
    "last event name": (b"event: a\nevent: b\ndata: c\n\n", [seen("c", event="b")]),
    "retry in its block": (b"retry: 1000\ndata: a\n\ndata: b\n\n", [seen("a", retry=1000), seen("b")]),
    "retry of other things": (b"retry: 1s\nretry: -1\nretry:\nretry: 1.5\ndata: a\n\n", [seen("a")]),
    "colon in the value": (b"data: a: b:c\n\n", [seen("a: b:c")]),
    "unknown fields": (b"foo: 1\n data: 2\nDATA: 3\ndata: a\n\n", [seen("a")]),
    "unfinished block": (b"data: a\n\ndata: b\n", [seen("a")]),
    "BOM": (b"\xef\xbb\xbfdata: a\n\n", [seen("a")]),
    "second BOM": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [seen("b")]),
    "CR, LF, CRLF": (b"data: a\r\rdata: b\n\ndata: c\r\n\r\n", [seen(x) for x in "abc"]),
    "invalid UTF-8": (b"data: \xff\xe2\x82\n\n", [seen("\ufffd\ufffd")]),
    "invalid UTF-8 in event and id": (
        b"event: \xc3\nid: \xf0\x9f\ndata: a\n\n",
        [seen("a", event="\ufffd", last_id="\ufffd")],
    ),
    "encoded surrogates": (b"data: \xed\xa0\x80\n\n", [seen("\ufffd\ufffd\ufffd")]),
    "NUL in data": (b"data: a\x00b\n\n", [seen("a\x00b")]),
}


@pytest.mark.parametrize(("stream", "wanted"), CASES.values(), ids=CASES)
def test_dispatch(stream, wanted):
    for chunks in support.every_cut(stream):
        assert events(*chunks) == wanted


def test_an_event_comes_with_the_chunk_that_completes_it():
    parser = Parser()
    assert parser.feed(b"data: a\r\n") == []
    [event] = parser.feed(b"\r")
    assert event.data == "a"
    assert parser.feed(b"\n") == []
    assert [e.data for e in parser.feed(b"data: b\n\ndata: c\n\nda")] == ["b", "c"]
    assert parser.finish() == []


def test_last_event_id_and_retry():
    parser = Parser()
    assert (parser.last_event_id, parser.retry) == ("", None)
    parser.feed(b"id: 7\nretry: 250\n\n")
    assert (parser.last_event_id, parser.retry) == ("7", 250)
    parser.feed(b"id: 8\n")
    parser.finish()
    assert parser.last_event_id == "7"


def test_event_is_a_frozen_value():
    [event] = Parser().feed(b"event: e\nid: 1\nretry: 5\ndata: a\n\n")
    assert isinstance(event, Event)
    assert event == Event("e", "a", "1", 5)
    assert event != Event("e", "b", "1", 5)
    assert hash(event) == hash(Event("e", "a", "1", 5))
    assert "a" in repr(event)
    with pytest.raises((AttributeError, dataclasses.FrozenInstanceError)):
        event.data = "b"


@pytest.mark.parametrize("buffer", [bytearray, memoryview, lambda data: array.array("B", data)])
def test_takes_any_buffer(buffer):
    assert [event.data for event in Parser().feed(buffer(b"data: a\n\n"))] == ["a"]


@pytest.mark.parametrize("wrong", ["data: a\n\n", None, 5, [b"data"]])
def test_refuses_what_is_no_buffer(wrong):
    with pytest.raises((TypeError, BufferError)):
        Parser().feed(wrong)


def test_finished():
    parser = Parser()
    assert parser.finish() == []
    with pytest.raises(FinishedError):
        parser.feed(b"data: a\n\n")


def test_a_large_event_in_small_chunks():
    text = "é" * 1_000_000
    stream = f"data: {text}\n\n".encode()
    parser = Parser()
    [event] = [event for chunk in support.in_sizes(stream, 1461) for event in parser.feed(chunk)]
    assert event.data == text
