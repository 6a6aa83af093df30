"""What passes through the gateway, and what is changed on its way."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from live.client import Client
from live.watch import run
from sse_fast.gateway import create_app

from gateway.bodies import CHAT, CHAT_BODY, CHAT_STREAM, DONE, MESSAGES, ask, event
from gateway.running import client, config, serving
from gateway.upstream import BROKEN, EVENTS, JSON, Reply, Seen, Upstream, json_reply

ALIAS = {"models": {"fast": "real-1"}}


def asked(*replies: Reply, path: str = CHAT, method: str = "POST", route: Any = ALIAS, **request: Any) -> Any:
    """The gateway's response to one request, and the request that its upstream saw."""
    settings = request.pop("settings", {})

    async def scenario() -> tuple[httpx.Response, Seen | None]:
        async with Upstream() as upstream:
            upstream.will(*replies)
            async with (
                serving(config(upstream.url + request.pop("base", ""), route=route, **settings)) as url,
                client(url) as http,
            ):
                response = await http.request(method, path, **request)
            return response, upstream.seen[-1] if upstream.seen else None

    return run(scenario())


def test_an_event_stream_is_rewritten_and_nothing_else_is_touched() -> None:
    response, seen = asked(Reply(chunks=CHAT_STREAM), json=ask())
    assert response.content == b"".join(CHAT_STREAM).replace(b'"real-1"', b'"fast"')
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert seen.json == ask("real-1")


def test_a_request_is_rewritten_byte_for_byte() -> None:
    body = b'{ "model" : "fast",\r\n "mod\\u0065l": "fast", "n": 1.0e2, "text": "\xc3\xa9\xff" }'
    _, seen = asked(json_reply({}), content=body, headers=[JSON])
    assert seen.body == body.replace(b'"fast"', b'"real-1"')


def test_a_model_that_is_no_alias_passes() -> None:
    response, seen = asked(Reply(chunks=CHAT_STREAM), json=ask("real-1"))
    assert response.content == b"".join(CHAT_STREAM)
    assert seen.json == ask("real-1")


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_json_body_is_rewritten(framing: Any) -> None:
    text = json.dumps(CHAT_BODY).encode()
    reply = Reply(headers=[JSON, ("etag", '"x"'), ("x-ratelimit-remaining", "7")], chunks=[text], framing=framing)
    response, _ = asked(reply, json=ask(stream=False))
    assert response.content == text.replace(b'"real-1"', b'"fast"')
    assert response.headers["content-length"] == str(len(response.content))
    assert response.headers["x-ratelimit-remaining"] == "7"
    assert "etag" not in response.headers


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("gzip", lambda data: data[:0])]
)
def test_what_is_rewritten_is_decoded(coding: str, compress: Callable[[bytes], bytes]) -> None:
    for kind, body in ((EVENTS, b"".join(CHAT_STREAM)), (JSON, json.dumps(CHAT_BODY).encode())):
        reply = Reply(headers=[kind, ("content-encoding", coding)], chunks=[compress(body)])
        response, seen = asked(reply, json=ask())
        assert seen.values("accept-encoding") == ["identity"]
        assert "content-encoding" not in response.headers
        if compress(body):
            assert response.content == body.replace(b'"real-1"', b'"fast"')


@pytest.mark.parametrize("kind", [EVENTS, JSON])
def test_a_coding_that_cannot_be_decoded_is_refused(kind: tuple[str, str]) -> None:
    response, _ = asked(Reply(headers=[kind, ("content-encoding", "br")], chunks=[b"\x0b\x02"]), json=ask())
    assert response.status_code == 502
    assert response.json()["error"]["message"] == "the upstream's answer cannot be decoded"


def test_any_other_body_passes_as_it_is() -> None:
    audio = bytes(range(256)) * 300
    headers = [("content-type", "audio/mpeg"), ("content-encoding", "br"), ("etag", '"x"')]
    reply = Reply(headers=headers, chunks=[audio[:100], 0.05, audio[100:]], framing="length")

    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(reply)
            async with serving(config(upstream.url)) as url, client(url) as http:
                async with http.stream("POST", "/v1/audio/speech", json={}) as response:
                    assert b"".join([chunk async for chunk in response.aiter_raw()]) == audio
                assert response.headers["content-length"] == str(len(audio))
                assert response.headers["content-encoding"] == "br"
                assert response.headers["etag"] == '"x"'

    run(scenario())


def test_a_body_that_is_no_json_is_passed_on_while_it_comes() -> None:
    parts = [b"--x\r\n" * 1000, b"sound" * 20_000, b"--x--\r\n"]

    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    headers = [("content-type", "multipart/form-data; boundary=x")]
    for content in (body(), b"".join(parts)):
        _, seen = asked(
            json_reply({"text": "hello"}), path="/v1/audio/transcriptions", content=content, headers=headers
        )
        assert seen.body == b"".join(parts)
        assert seen.values("content-type") == ["multipart/form-data; boundary=x"]
        assert len(seen.values("content-length")) + len(seen.values("transfer-encoding")) == 1


@pytest.mark.parametrize("status", [301, 400, 401, 404, 429, 500, 503])
def test_the_answer_of_the_only_upstream_goes_on_as_it_is(status: int) -> None:
    body = {"error": {"message": "so it is", "code": status}}
    reply = json_reply(body, status=status, headers=[("retry-after", "3"), ("location", "/elsewhere")])
    response, _ = asked(reply, json=ask())
    assert response.status_code == status
    assert response.json() == body
    assert response.headers["retry-after"] == "3"
    assert response.headers["location"] == "/elsewhere"


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("kind", [JSON, EVENTS, ("content-type", "image/png")])
def test_an_answer_without_a_body(kind: tuple[str, str], status: int) -> None:
    reply = Reply(status=status, headers=[kind], chunks=[b"12 bytes long"], framing="length")
    response, _ = asked(reply, path=CHAT, json=ask())
    assert response.status_code == status
    assert response.content == b""
    assert "content-length" not in response.headers


@pytest.mark.parametrize("kind", [JSON, EVENTS, ("content-type", "image/png")])
def test_head(kind: tuple[str, str]) -> None:
    reply = Reply(headers=[kind], chunks=[b"12 bytes long"], framing="length")
    response, seen = asked(reply, path=CHAT, method="HEAD")
    assert (response.status_code, response.content, seen.method) == (200, b"", "HEAD")
    assert response.headers.get("content-length") == ("13" if kind[1] == "image/png" else None)


@pytest.mark.parametrize(
    "reply",
    [
        *(json_reply({}, status=status) for status in (101, 600, 999)),
        Reply(headers=[EVENTS, ("transfer-encoding", "gzip")], chunks=CHAT_STREAM),
        json_reply({}, headers=[("x-a", "a\x01b")]),
        json_reply({}, headers=[("x-a", "a\x7f")]),
    ],
)
def test_what_is_no_response(reply: Reply) -> None:
    response, _ = asked(reply, json=ask())
    assert response.status_code == 502
    assert response.json()["error"]["type"] == "upstream_error"


def test_a_json_body_that_is_too_large() -> None:
    for reply in (json_reply({"a": "x" * 1000}), Reply(headers=[JSON], chunks=[b'"' + b"x" * 1000 + b'"'])):
        response, _ = asked(reply, json=ask(), settings={"max_response_bytes": 1000})
        assert response.status_code == 502
        assert "larger than 1000 bytes" in response.json()["error"]["message"]


def test_path_and_query_reach_the_upstream_as_they_were_sent() -> None:
    path = "/v1/models/a%2Fb%20c?limit=2&key=k&x=%C3%A9&x"
    _, seen = asked(json_reply({}), method="GET", path=path, base="/base/")
    assert seen.target == "/base/v1/models/a%2Fb%20c?limit=2&key=k&x=%C3%A9&x"
    assert seen.body == b""


CLIMBING = ["/v1/../admin", "/v1/%2e%2e/admin", "/v1/..%2fadmin", "/v1/%2e/x", "/v1/..%5cadmin", "/v1/..;/admin"]


@pytest.mark.parametrize("path", CLIMBING)
def test_a_path_does_not_climb(path: str) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream, serving(config(upstream.url)) as url:
            async with Client(int(url.rpartition(":")[2]), path) as client:  # httpx would tidy the path
                await client.rest()
                assert client.status == 400
            assert not upstream.seen

    run(scenario())


def test_a_request_that_names_no_model_does_not_learn_its_name() -> None:
    route = {"models": {"fast": "real-1", "a": "real-2", "b": "real-2"}}
    for model, told in {"real-1": "fast", "real-2": "real-2", "real-3": "real-3"}.items():
        response, _ = asked(json_reply({"model": model}), method="GET", path="/v1/responses/resp_1", route=route)
        assert response.json() == {"model": told}


def test_the_model_in_the_path_of_gemini() -> None:
    path = "/v1beta/models/fast:streamGenerateContent?alt=sse"
    chunk = event({"candidates": [{"finishReason": "STOP"}], "modelVersion": "real-1"})
    response, seen = asked(Reply(chunks=[chunk]), path=path, json={"contents": []})
    assert seen.target == path.replace("fast", "real-1")
    assert response.content == chunk.replace(b"real-1", b"fast")


@pytest.mark.parametrize(
    ("path", "body", "mapped"),
    [
        ("/v1/embeddings", {"model": "fast"}, {"model": "real-1"}),
        ("/v1/messages/count_tokens", {"model": "fast"}, {"model": "real-1"}),
        ("/v1beta/models/fast:countTokens", {"model": "models/fast"}, {"model": "models/real-1"}),
        (
            "/v1beta/models/fast:batchEmbedContents",
            {"requests": [{"model": "models/fast"}, {"model": "models/x"}]},
            {"requests": [{"model": "models/real-1"}, {"model": "models/x"}]},
        ),
        (
            "/v1/messages/batches",
            {"requests": [{"params": {"model": "fast"}}]},
            {"requests": [{"params": {"model": "real-1"}}]},
        ),
    ],
)
def test_the_model_where_no_dialect_knows_the_answer(path: str, body: Any, mapped: Any) -> None:
    response, seen = asked(json_reply({"model": "real-1", "data": []}), path=path, json=body)
    assert seen.json == mapped
    assert seen.target == path.replace("fast", "real-1")
    # Who named the alias is told it.
    named = "fast" if "requests" not in body or "models/" in path else "real-1"
    assert response.json() == {"model": named, "data": []}
    stream = [event({"type": "delta", "model": "real-1"})]
    response, _ = asked(Reply(chunks=stream), path="/v1/audio/speech", json=ask())
    assert response.content == stream[0].replace(b"real-1", b"fast")


def test_models_that_are_named_as_google_names_them() -> None:
    route = {"models": {"fast": "real-1", "models/best": "real-2"}}
    for model, mapped in {"models/fast": "models/real-1", "models/best": "real-2", "models/x": "models/x"}.items():
        response, seen = asked(json_reply({"model": mapped}), json=ask(model), route=route)
        assert (seen.json["model"], response.json()) == (mapped, {"model": model})


def test_an_error_has_the_form_of_its_api_where_it_has_no_dialect() -> None:
    for path, member in (("/v1/messages/count_tokens", "type"), ("/v1beta/models/m:countTokens", "status")):
        response, _ = asked(BROKEN, path=path, json=ask())
        assert response.status_code == 502
        assert member in {**response.json(), **response.json()["error"]}
        assert "param" not in response.json()["error"]


def test_a_web_socket_is_refused() -> None:
    sent: list[Any] = []

    async def scenario() -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        scope = {"type": "websocket", "path": "/v1/realtime", "headers": [], "query_string": b""}
        await create_app(config("http://a"))(scope, receive, send)

    run(scenario())
    assert sent == ["websocket.close"]


def test_the_own_form_of_each_dialect() -> None:
    chunks = [
        event({"type": "message_start", "message": {"id": "m", "model": "real-1", "usage": {}}}, "message_start"),
        event({"type": "message_stop"}, "message_stop"),
    ]
    response, _ = asked(Reply(chunks=chunks), path=MESSAGES, json=ask())
    assert response.content == b"".join(chunks).replace(b"real-1", b"fast")


def test_rules_of_the_route() -> None:
    route = {
        "strip_cost": True,
        "rules": [{"op": "remove", "path": "$.id"}],
        "body_rules": [{"op": "set", "path": "$.id", "value": "hidden"}],
        "request_rules": [{"op": "default", "path": "$.user", "value": "gateway"}],
    }
    response, seen = asked(Reply(chunks=CHAT_STREAM), route=route, json=ask())
    assert b'"id"' not in response.content
    assert b'"cost"' not in response.content
    assert seen.json == {**ask(), "user": "gateway"}
    response, _ = asked(json_reply(CHAT_BODY), route=route, json=ask())
    assert response.json()["id"] == "hidden"
    assert "cost" not in response.json()["usage"]


def test_policies_of_the_route() -> None:
    route = {"comments": "drop", "repair": True}
    stream = [b": PROCESSING\n\n", b"id: 1\n\n", *CHAT_STREAM]
    response, _ = asked(Reply(chunks=stream), route=route, json=ask())
    assert response.content.startswith(b"data: ")
    assert DONE in response.content
