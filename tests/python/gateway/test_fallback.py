"""Upstreams that fail, one after another."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from live.watch import run

from gateway.bodies import CHAT, CHAT_BODY, CHAT_ERROR, CHAT_STREAM, ask, chat_chunk, event
from gateway.running import client, config, records, serving
from gateway.upstream import BROKEN, EVENTS, JSON, Reply, Seen, Upstream, json_reply

GOOD = Reply(chunks=CHAT_STREAM)
FAILING = {
    "the connection breaks": BROKEN,
    "the connection breaks after the headers": Reply(end="rst"),
    "it ends after the headers": Reply(end="fin"),
    "it ends without an event": Reply(),
    "it ends with half an event": Reply(chunks=[b'data: {"model":']),
    "it breaks within the first event": Reply(chunks=[b'data: {"model":'], end="rst"),
    "no headers come": Reply(delay=30),
    "an error is the first event": Reply(chunks=[b": wait\n\n", CHAT_ERROR]),
    "it begins with an error in pieces": Reply(chunks=[CHAT_ERROR[:10], 0.05, CHAT_ERROR[10:]]),
    "JSON breaks off": Reply(headers=[JSON], chunks=[b'{"id":'], end="rst"),
    "JSON is longer than it is": Reply(headers=[JSON, ("content-length", "99")], framing="close", chunks=[b"{}"]),
    "JSON does not go on": Reply(headers=[JSON], chunks=[b'{"id":'], end="hang"),
    "a coding that nobody asked for": Reply(headers=[EVENTS, ("content-encoding", "br")], chunks=[b"\x0b"]),
    "a broken coding": Reply(headers=[EVENTS, ("content-encoding", "gzip")], chunks=[b"no gzip"]),
    **{f"status {status}": json_reply({}, status=status) for status in (408, 429, 500, 502, 503, 504, 529)},
}
IMPATIENT = {"no headers come": {"first_byte": 1.0}, "JSON does not go on": {"idle": 1.0}}
"""Timeouts that a case needs; all others are long, for a machine that does other things meanwhile."""


@dataclass
class Result:
    response: httpx.Response
    upstreams: list[Upstream]
    record: dict[str, Any]

    @property
    def seen(self) -> list[list[Seen]]:
        return [upstream.seen for upstream in self.upstreams]


def asked(*upstreams: Reply | None, timeouts: dict[str, float] | None = None, **request: Any) -> Result:
    """One request to a gateway before upstreams that each have one reply; None is a port where nobody listens."""
    route = request.pop("route", {})
    request = {"json": ask(), **request} if "content" not in request else request

    async def scenario() -> Result:
        async with AsyncExitStack() as stack:
            running, urls = [], []
            for reply in upstreams:
                if reply is None:
                    reserved = stack.enter_context(socket.socket())
                    reserved.bind(("127.0.0.1", 0))
                    urls.append(f"http://127.0.0.1:{reserved.getsockname()[1]}")
                    continue
                running.append(await stack.enter_async_context(Upstream()))
                running[-1].will(reply)
                urls.append(running[-1].url)
            told = stack.enter_context(records())
            url = await stack.enter_async_context(serving(config(*urls, route=route, timeouts=timeouts or {})))
            http = await stack.enter_async_context(client(url))
            response = await http.post(CHAT, **request)
        (record,) = told
        return Result(response, running, record)

    return run(scenario())


@pytest.mark.parametrize("name", [*FAILING, "nobody listens"])
def test_the_next_upstream_answers(name: str) -> None:
    result = asked(FAILING.get(name), GOOD, timeouts=IMPATIENT.get(name))
    assert result.response.status_code == 200
    assert result.response.content == b"".join(CHAT_STREAM)
    assert result.seen[-1][0].json == ask()
    assert result.record["attempts"] == 2
    assert result.record["upstream"] == "1"
    assert result.record["outcome"] == "completed"


def test_the_upstream_that_failed_is_let_go() -> None:
    result = asked(Reply(chunks=[CHAT_ERROR], end="hang"), GOOD)
    assert result.response.content == b"".join(CHAT_STREAM)
    assert result.seen[0][0].gone.is_set()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_the_client_did_wrong_no_other_upstream_makes_right(status: int) -> None:
    result = asked(json_reply({"error": {}}, status=status), GOOD)
    assert result.response.status_code == status
    assert result.seen[1] == []


@pytest.mark.parametrize("text", [b'{"error":{"message":"no"}}', b"", CHAT_ERROR])
def test_nor_where_it_calls_its_error_an_event_stream(text: bytes) -> None:
    reply = Reply(status=400, headers=[EVENTS], chunks=[text], framing="length")
    result = asked(reply, GOOD)
    assert (result.response.status_code, result.response.content) == (400, text)
    assert result.seen[1] == []


def test_the_last_upstream_has_the_last_word() -> None:
    result = asked(json_reply({"first": 1}, status=503), json_reply({"second": 2}, status=429))
    assert result.response.status_code == 429
    assert result.response.json() == {"second": 2}
    result = asked(json_reply({}, status=503), Reply(chunks=[CHAT_ERROR]))
    assert result.response.status_code == 200
    assert result.response.content == CHAT_ERROR
    assert result.record["outcome"] == "upstream_error"


@pytest.mark.parametrize(
    ("failing", "status"),
    [(None, 502), (BROKEN, 502), (Reply(delay=30), 504), (Reply(end="rst"), 502), (Reply(), 502)],
)
def test_where_the_last_fails_the_gateway_says_so_in_the_dialect(failing: Reply | None, status: int) -> None:
    result = asked(json_reply({}, status=500), failing, timeouts={"first_byte": 1.0} if status == 504 else None)
    assert result.response.status_code == status
    assert result.response.json()["error"]["code"] == str(status)
    assert "127.0.0.1" not in result.response.text
    assert result.record["outcome"] == "upstream_error"
    assert result.record["status"] == status


def test_a_stream_that_has_begun_ends_with_the_error_event_of_its_dialect() -> None:
    for end in ("rst", "fin", "whole", "hang"):
        idle = {"idle": 1.0} if end == "hang" else None
        result = asked(Reply(chunks=[chat_chunk("Hel"), 0.1, b'data: {"half":'], end=end), GOOD, timeouts=idle)
        first, _, error = result.response.content.partition(b"\n\n")
        assert first + b"\n\n" == chat_chunk("Hel")
        assert b'"error"' in error
        assert b"half" not in error
        assert result.seen[1] == []
        outcomes = {"whole": "truncated", "hang": "idle_timeout"}
        assert result.record["outcome"] == outcomes.get(end, "upstream_error")


def test_a_slow_beginning_is_not_held_for_ever() -> None:
    async def scenario() -> None:
        async with Upstream() as first, Upstream() as second:
            first.will(Reply(chunks=[b": wait\n\n"], end="hang"))
            settings = config(first.url, second.url, timeouts={"hold": 0.2})
            async with serving(settings) as url, client() as http:
                async with http.stream("POST", url + CHAT, json=ask()) as response:
                    assert await anext(response.aiter_raw()) == b": wait\n\n"
                await first.seen[0].gone.wait()
            assert second.seen == []

    run(scenario(), seconds=20)


def test_a_slow_answer_that_is_no_stream_may_take_longer() -> None:
    result = asked(replace(json_reply(CHAT_BODY), delay=0.6), json=ask(stream=False), timeouts={"first_byte": 0.3})
    assert result.response.json() == CHAT_BODY


def test_each_upstream_has_its_own_name_for_a_model() -> None:
    async def scenario() -> None:
        async with Upstream() as first, Upstream() as second:
            first.will(json_reply({}, status=503))
            second.will(Reply(chunks=[event({"model": "b-1"}), *CHAT_STREAM]))
            upstreams = [{"url": first.url}, {"url": second.url, "models": {"fast": "b-1"}}]
            settings = config(route={"models": {"fast": "a-1"}, "upstreams": upstreams})
            async with serving(settings) as url, client() as http:
                response = await http.post(url + CHAT, json=ask())
            assert first.seen[0].json["model"] == "a-1"
            assert second.seen[0].json["model"] == "b-1"
            assert response.content.startswith(event({"model": "fast"}))

    run(scenario())


def test_a_body_that_has_been_passed_on_is_not_passed_on_twice() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"sound" * 1000

    headers = [("content-type", "audio/wav")]
    result = asked(json_reply({"first": 1}, status=503), GOOD, content=body(), headers=headers)
    assert result.response.status_code == 503
    assert result.response.json() == {"first": 1}
    assert result.seen[1] == []
    # Nothing of it was taken where nobody listened.
    assert asked(None, GOOD, content=body(), headers=headers).response.status_code == 200
