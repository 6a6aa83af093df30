"""Headers of a rewritten response, and what a Content-Type means."""

import doctest
from email.message import Message

import httpx
import pytest
import sse_fast.http
from aiohttp import ClientResponse
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from sse_fast.http import (
    CREDENTIALS,
    end_to_end_headers,
    event_stream_headers,
    is_event_stream,
    is_json,
    request_headers,
    rewritten_headers,
)
from starlette.datastructures import Headers

ADDED = [("cache-control", "no-cache, no-transform"), ("x-accel-buffering", "no")]
TYPE = ("content-type", "text/event-stream")


def answered(*pairs: tuple[str, str]) -> list[tuple[str, str]]:
    """What is left of some headers, beside those that every event stream gets."""
    headers = event_stream_headers([TYPE, *pairs])
    assert headers[0] == TYPE
    assert headers[-2:] == ADDED
    return headers[1:-2]


@pytest.mark.parametrize(
    "name",
    [
        *("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection"),
        *("TE", "Trailer", "Transfer-Encoding", "Upgrade"),
    ],
)
def test_hop_by_hop_headers_go(name: str) -> None:
    pairs = [(name, "x"), ("x-kept", "1")]
    assert answered(*pairs) == end_to_end_headers(pairs) == [("x-kept", "1")]


def test_what_connection_names_goes_in_every_line_and_case() -> None:
    pairs = [("X-A", "1"), ("connection", "close, x-a"), ("Connection", "X-B ,\tx-c,"), ("x-b", "2"), ("X-C", "3")]
    pairs.append(("x-d", "4"))
    assert answered(*pairs) == end_to_end_headers(pairs) == [("x-d", "4")]


def test_end_to_end_headers_are_all_the_others_in_order() -> None:
    pairs = [
        ("content-length", "12"),
        ("content-encoding", "gzip"),
        ("etag", '"e"'),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "yes"),
        ("cookie", "a=1"),
        ("accept", "text/event-stream"),
        ("cookie", "b=2"),
        ("host", "example.com"),
        ("authorization", "Bearer k"),
        ("expect", "100-continue"),
    ]
    assert end_to_end_headers([*pairs, ("TE", "trailers")]) == pairs


def test_end_to_end_headers_without_those_named() -> None:
    pairs = [("Host", "a"), ("X-A", "1"), ("Connection", "X-A"), ("Content-Length", "3"), ("X-B", "2")]
    assert end_to_end_headers(pairs, without={"host", "content-length"}) == [("x-b", "2")]
    assert end_to_end_headers([]) == []


def test_a_length_beside_a_transfer_coding_goes() -> None:
    pairs = [("Content-Length", "60"), ("Transfer-Encoding", "chunked"), ("x-kept", "1")]
    assert end_to_end_headers(pairs) == [("x-kept", "1")]
    assert request_headers(pairs) == [("x-kept", "1"), ("accept-encoding", "identity")]


def test_request_headers_are_those_that_an_upstream_is_asked_with() -> None:
    kept = [("accept", "text/event-stream"), ("cookie", "a=1"), ("cookie", "b=2"), ("content-length", "3")]
    dropped = [
        *(("Host", "gateway"), ("Expect", "100-continue"), ("Accept-Encoding", "gzip, br"), ("TE", "trailers")),
        *(("Range", "bytes=0-9"), ("If-Range", '"e"')),
        *(("Connection", "keep-alive, x-a"), ("X-A", "1"), ("Forwarded", "for=1.2.3.4"), ("Via", "1.1 nginx")),
        *(("X-Real-IP", "1.2.3.4"), ("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https")),
        *(("X-Forwarded-Host", "gateway"), ("X-Forwarded-Port", "443")),
    ]
    assert request_headers([*dropped, *kept]) == [*kept, ("accept-encoding", "identity")]


def test_request_headers_without_credentials() -> None:
    pairs = [("X-Api-Key", "k"), ("Authorization", "Bearer k"), ("api-key", "k"), ("x-goog-api-key", "k")]
    pairs += [("cookie", "a=1"), ("x-kept", "1")]
    assert request_headers(pairs, without=CREDENTIALS) == [("x-kept", "1"), ("accept-encoding", "identity")]


@pytest.mark.parametrize(
    "name",
    [
        *("Content-Length", "Content-Encoding", "ETag", "Last-Modified", "Accept-Ranges", "Content-Range"),
        *("Content-MD5", "Digest", "Content-Digest", "Repr-Digest"),
    ],
)
def test_F30_what_was_true_of_the_old_bytes_goes(name: str) -> None:
    assert answered((name, "x"), ("x-kept", "1")) == [("x-kept", "1")]
    assert rewritten_headers([(name, "x"), ("x-kept", "1")]) == [("x-kept", "1")]


def test_F30_proxies_are_told_not_to_transform_nor_buffer() -> None:
    upstream = {"Cache-Control": "public, max-age=60", "X-Accel-Buffering": "yes", "cache-control": "no-store"}
    assert event_stream_headers(upstream) == [("content-type", "text/event-stream; charset=utf-8"), *ADDED]


def test_all_else_stays_in_order_repeated_ones_too() -> None:
    pairs = [
        ("x-request-id", "req_1"),
        ("set-cookie", "a=1, b; Path=/"),
        ("x-ratelimit-remaining-tokens", "9"),
        ("set-cookie", "c=2"),
        ("vary", "accept-encoding"),
        ("date", "Tue, 24 Nov 2026 10:00:00 GMT"),
        ("openai-processing-ms", "12"),
    ]
    assert answered(*pairs) == pairs


def test_a_content_type_stays_as_it_is() -> None:
    headers = event_stream_headers({"Content-Type": "application/problem+json"})
    assert headers == [("content-type", "application/problem+json"), *ADDED]


def test_it_is_idempotent() -> None:
    once = event_stream_headers([("Connection", "x-a"), ("X-A", "1"), ("Set-Cookie", "b"), ("etag", "c")])
    assert event_stream_headers(once) == [once[0], *once[1:-2], *ADDED] == once


PAIRS = [("Content-Type", "text/event-stream"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("ETag", "x")]
EXPECTED = [TYPE, ("set-cookie", "a=1"), ("set-cookie", "b=2"), *ADDED]


def message(pairs: list[tuple[str, str]]) -> Message:
    made = Message()
    for name, value in pairs:
        made[name] = value
    return made


RAW = [(name.encode(), value.encode()) for name, value in PAIRS]


@pytest.mark.parametrize(
    "headers",
    [
        httpx.Headers(PAIRS),
        httpx.Headers(PAIRS).raw,
        CIMultiDict(PAIRS),
        CIMultiDictProxy(CIMultiDict(PAIRS)),
        Headers(raw=[(name.lower(), value) for name, value in RAW]),
        message(PAIRS),
        PAIRS,
        iter(PAIRS),
        RAW,
        tuple(RAW),
    ],
    ids=[
        "httpx",
        "httpx raw",
        "aiohttp",
        "aiohttp proxy",
        "starlette",
        "http.client",
        "list",
        "iterator",
        "asgi",
        "tuple",
    ],
)
def test_headers_of_every_library_with_each_set_cookie(headers) -> None:
    assert event_stream_headers(headers) == EXPECTED


def test_plain_mappings_of_str_and_of_bytes() -> None:
    assert event_stream_headers({"Content-Type": "text/event-stream"}) == [TYPE, *ADDED]
    assert event_stream_headers({b"Content-Type": b"text/event-stream"}) == [TYPE, *ADDED]
    assert event_stream_headers({}) == [("content-type", "text/event-stream; charset=utf-8"), *ADDED]


def test_aiohttp_says_headers_so() -> None:
    assert ClientResponse.headers  # the attribute that the docs name


def test_bytes_are_latin_1() -> None:
    assert answered(("x-a", "é")) == [("x-a", "é")]
    assert event_stream_headers([(b"x-a", b"\xe9")])[0] == ("x-a", "é")
    for raw in ([(b"x-a", b"\xc3\xa9")], [(b"x-a", b"\xe9")]):  # httpx reads the first as UTF-8: the bytes must stay
        assert event_stream_headers(httpx.Headers(raw)) == event_stream_headers(raw)


each_kind = pytest.mark.parametrize(
    "headers", [event_stream_headers, rewritten_headers, end_to_end_headers, request_headers]
)


@each_kind
@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\nb", "a\rb", "a\0b", b"a\r\nb"])
def test_a_value_that_would_break_out_is_refused(value, headers) -> None:
    name = b"X-A" if isinstance(value, bytes) else "X-A"
    with pytest.raises(ValueError, match=r"^header 'X-A' has CR, LF or NUL in its value: take it out") as caught:
        headers([(name, value)])
    assert "set-cookie" not in str(caught.value)  # values may be secrets


@each_kind
@pytest.mark.parametrize("name", ["", "x a", "x:a", ":status", "x\r\n", "é"])
def test_a_name_that_is_no_token_is_refused(name: str, headers) -> None:
    with pytest.raises(ValueError, match="is no token"):
        headers([(name, "1")])


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="are str or bytes, not int"):
        event_stream_headers({"content-length": 3})  # type: ignore[dict-item]


def test_white_space_around_a_value_goes() -> None:
    assert answered(("x-a", " \tb c ")) == [("x-a", "b c")]


TOKENS = st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789-_", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20)


@given(st.lists(st.tuples(TOKENS, VALUES), max_size=8))
def test_nothing_is_invented_and_nothing_twice(pairs: list[tuple[str, str]]) -> None:
    lower = [(name.lower(), value.strip(" \t")) for name, value in pairs]
    headers = event_stream_headers(pairs)
    kept = [item for item in headers if item in lower]
    assert [name for name, _ in headers].count("cache-control") == 1
    assert [name for name, _ in headers].count("x-accel-buffering") == 1
    positions = iter(lower)
    assert all(item in positions for item in kept if item not in ADDED)  # in order


@pytest.mark.parametrize(
    "content_type",
    [
        *("text/event-stream", "Text/Event-Stream", "text/event-stream; charset=utf-8", "text/event-stream;charset=x"),
        *(" text/event-stream ", "text/event-stream ; a=b", b"text/event-stream", b"TEXT/EVENT-STREAM;x"),
        *("text/event-stream, text/event-stream", "text/plain;a=b,text/event-stream"),
    ],
)
def test_event_streams(content_type) -> None:
    assert is_event_stream(content_type)
    assert not is_json(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        *("application/json", "APPLICATION/JSON", "application/json; charset=utf-8", "application/problem+json"),
        *("application/vnd.api+JSON; a=b", b"application/json", "application/geo+json"),
        *("application/json,application/json", "text/plain, application/json; charset=utf-8"),
    ],
)
def test_json(content_type) -> None:
    assert is_json(content_type)
    assert not is_event_stream(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        *(None, "", b"", "text/plain", "text/event-streams", "text/event-stream+x", "application/x-ndjson"),
        *("application/jsonl", "application/json-seq", "text/plain; x=text/event-stream", "xtext/event-stream"),
        *("application/json5", "text/html; a=application/json"),
    ],
)
def test_neither(content_type) -> None:
    assert not is_event_stream(content_type)
    assert not is_json(content_type)


def test_the_docstring_runs() -> None:
    assert doctest.testmod(sse_fast.http).failed == 0
