"""Which responses are rewritten, and what is left of them: event streams and JSON bodies."""

from __future__ import annotations

from typing import Any

import pytest
from sse_fast import Rules, Transform
from sse_fast.httpx import RewriteTransport

from transport.peers import BODY, BODY_MASKED, MASK, ONE, ONE_MASKED, RULES, TWO, TWO_MASKED, URL, Inner, Kit

# Event streams.


@pytest.mark.anyio
async def test_an_event_stream_is_rewritten_whatever_its_cuts(kit: Kit) -> None:
    stream = ONE + TWO + b"data: [DONE]\n\n"
    inner = Inner(kit.library, [stream[:7], stream[7:40], stream[40:]])
    received = await kit.get(RewriteTransport(RULES, transport=inner))
    assert received.body == ONE_MASKED + TWO_MASKED + b"data: [DONE]\n\n"
    assert inner.body.closed == 1


@pytest.mark.anyio
@pytest.mark.parametrize("status", [200, 400, 503])
@pytest.mark.parametrize("content_type", ["text/event-stream; charset=utf-8", "Text/Event-Stream"])
async def test_any_status_and_any_spelling_of_the_type(kit: Kit, status: int, content_type: str) -> None:
    inner = Inner(kit.library, [ONE], content_type, status=status)
    received = await kit.get(RewriteTransport([MASK], transport=inner))
    assert (received.response.status_code, received.body) == (status, ONE_MASKED)


@pytest.mark.anyio
async def test_headers_lose_what_described_the_old_bytes_and_nothing_else(kit: Kit) -> None:
    kept = [
        ("Transfer-Encoding", "chunked"),
        ("Cache-Control", "no-store"),
        ("X-Request-Id", "r1"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
    ]
    stale = [("Content-Length", "26"), ("ETag", '"e"'), ("Content-MD5", "x"), ("Last-Modified", "y"), ("Digest", "z")]
    inner = Inner(kit.library, [ONE], headers=[*stale, *kept])
    received = await kit.get(RewriteTransport(RULES, transport=inner))
    wire = [(name.decode(), value.decode()) for name, value in received.response.headers.raw]
    assert wire == [("Content-Type", "text/event-stream"), *kept]


@pytest.mark.anyio
async def test_a_response_keeps_its_extensions(kit: Kit) -> None:
    stream = object()
    extensions = {"http_version": b"HTTP/2", "reason_phrase": b"Fine", "network_stream": stream}
    received = await kit.get(RewriteTransport(RULES, transport=Inner(kit.library, [ONE], extensions=extensions)))
    response = received.response
    assert (response.http_version, response.reason_phrase) == ("HTTP/2", "Fine")
    assert response.extensions["network_stream"] is stream


@pytest.mark.anyio
async def test_all_of_the_response_works(kit: Kit) -> None:
    inner = Inner(kit.library, [ONE, TWO])
    async with kit.client(RewriteTransport(RULES, transport=inner)) as client:
        response = await kit.send(client)
        lines = [line async for line in kit.chunks(response, "iter_lines")]
        assert lines == (ONE_MASKED + TWO_MASKED).decode().splitlines()
        assert response.num_bytes_downloaded == len(ONE_MASKED + TWO_MASKED)
        assert response.elapsed.total_seconds() > 0
        assert response.is_closed
        assert response.request.url == URL
        inner.response = Inner(kit.library, [ONE, TWO]).response
        response = await client.get(URL) if kit.is_async else client.get(URL)
        assert response.text == (ONE_MASKED + TWO_MASKED).decode()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "status", "content_type"),
    [
        ("HEAD", 200, "text/event-stream"),
        ("HEAD", 200, "application/json"),
        ("GET", 101, "text/event-stream"),
        ("GET", 204, "text/event-stream"),
        ("GET", 205, "application/json"),
        ("GET", 206, "text/event-stream"),
        ("GET", 206, "application/json"),
        ("GET", 304, "application/json"),
        ("GET", 200, "text/plain"),
        ("GET", 200, "application/x-ndjson"),
        ("GET", 200, None),
    ],
)
async def test_other_responses_stay_the_very_object(kit: Kit, method: str, status: int, content_type: str) -> None:
    headers = [("Content-Encoding", "br"), ("ETag", "e")]
    inner = Inner(kit.library, [ONE], content_type, status=status, headers=headers)
    received = await kit.get(RewriteTransport(RULES, body_rules=RULES, transport=inner), method)
    assert received.response is inner.response
    assert received.response.headers["etag"] == "e"
    assert (received.body, inner.body.closed) == (ONE, 1)


@pytest.mark.anyio
async def test_a_function_chooses_rules_by_request(kit: Kit) -> None:
    inner = Inner(kit.library, [ONE])
    transport = RewriteTransport(lambda request: RULES if request.url.path == "/v1" else None, transport=inner)
    assert (await kit.get(transport)).body == ONE_MASKED
    inner.response = Inner(kit.library, [ONE]).response
    received = await kit.get(transport, url="http://upstream.test/v2", headers={"accept-encoding": "br, gzip"})
    assert received.response is inner.response
    assert received.body == ONE
    assert inner.requests[-1] is received.response.request
    assert inner.requests[-1].headers["accept-encoding"] == "br, gzip"


@pytest.mark.anyio
async def test_a_function_that_returns_no_rules_is_told_before_anything_is_sent(kit: Kit) -> None:
    inner = Inner(kit.library, [ONE])
    with pytest.raises(TypeError, match=r"^the function for rules must return Rules or None, not list$"):
        await kit.get(RewriteTransport(lambda request: [MASK], transport=inner))  # type: ignore[arg-type,return-value]
    assert inner.requests == []


@pytest.mark.anyio
async def test_policies_reach_the_rewriter(kit: Kit) -> None:
    inner = Inner(kit.library, [b": hello\n\n", b"event: ping\n\n", b"data: no json\n\n", ONE])
    policies: dict[str, Any] = {"comments": "drop", "empty_blocks": "drop", "on_invalid": "drop"}
    assert (await kit.get(RewriteTransport(RULES, transport=inner, **policies))).body == ONE_MASKED


# JSON bodies.


@pytest.mark.anyio
@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("content_type", ["application/json", "application/problem+json; charset=utf-8"])
async def test_a_json_body_takes_body_rules(kit: Kit, status: int, content_type: str) -> None:
    headers = [("Transfer-Encoding", "chunked"), ("ETag", "e"), ("X-Request-Id", "r1")]
    inner = Inner(kit.library, [BODY[:5], BODY[5:]], content_type, status=status, headers=headers)
    received = await kit.get(RewriteTransport(None, body_rules=[MASK], transport=inner))
    assert (received.response.status_code, received.body) == (status, BODY_MASKED)
    assert dict(received.response.headers) == {
        "content-type": content_type,
        "x-request-id": "r1",
        "content-length": str(len(BODY_MASKED)),
    }
    assert received.response.elapsed.total_seconds() > 0
    assert inner.body.closed == 1


@pytest.mark.anyio
async def test_a_json_body_without_body_rules_stays_the_very_object(kit: Kit) -> None:
    inner = Inner(kit.library, [BODY], "application/json")
    received = await kit.get(RewriteTransport(RULES, transport=inner))
    assert received.response is inner.response
    assert received.body == BODY


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"", b"{", b"<html>"])
async def test_a_body_that_is_no_json_passes_with_its_status(kit: Kit, body: bytes) -> None:
    inner = Inner(kit.library, [body], "application/json", status=502)
    received = await kit.get(RewriteTransport(RULES, body_rules=RULES, transport=inner))
    assert (received.response.status_code, received.body) == (502, body)


@pytest.mark.anyio
async def test_a_json_body_may_have_max_body_bytes(kit: Kit) -> None:
    inner = Inner(kit.library, [BODY[:9], BODY[9:]], "application/json")
    transport = RewriteTransport(RULES, body_rules=RULES, transport=inner, max_body=len(BODY))
    assert (await kit.get(transport)).body == BODY_MASKED


@pytest.mark.anyio
async def test_a_larger_json_body_is_an_error_and_read_no_further(kit: Kit) -> None:
    inner = Inner(kit.library, [BODY] * 9, "application/json")
    transport = RewriteTransport(RULES, body_rules=RULES, transport=inner, max_body=len(BODY))
    with pytest.raises(kit.library.DecodingError, match="larger than max_body, 24 bytes") as raised:
        await kit.get(transport)
    assert raised.value.request.url == URL
    assert (inner.body.read, inner.body.closed) == (2, 1)


@pytest.mark.anyio
async def test_an_error_in_a_json_body_comes_as_it_is(kit: Kit) -> None:
    error = kit.library.ReadError("gone")
    inner = Inner(kit.library, [BODY[:5]], "application/json", error=error)
    with pytest.raises(kit.library.ReadError) as raised:
        await kit.get(RewriteTransport(RULES, body_rules=RULES, transport=inner))
    assert raised.value is error
    assert inner.body.closed == 1


def _refuses(value: object) -> object:
    raise LookupError(value)


@pytest.mark.anyio
async def test_what_the_function_of_a_rule_raises_comes_as_it_is(kit: Kit) -> None:
    rules = Rules([Transform("$.model", _refuses)])
    inner = Inner(kit.library, [BODY], "application/json")
    with pytest.raises(LookupError):
        await kit.get(RewriteTransport(rules, body_rules=rules, transport=inner))
    assert inner.body.closed == 1
    inner = Inner(kit.library, [b"data: 1\n\n", ONE])
    received = await kit.get(RewriteTransport(rules, transport=inner))
    assert received.body == b"data: 1\n\n"
    assert type(received.error) is LookupError
    assert inner.body.closed == 1
