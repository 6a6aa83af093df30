"""Which headers reach the upstream and the client, and whose credentials."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from live.client import Client
from live.watch import run

from gateway.bodies import CHAT, CHAT_STREAM, MESSAGES, ask
from gateway.running import client, config, serving
from gateway.upstream import EVENTS, JSON, Reply, Seen, Upstream, json_reply

GEMINI = "/v1beta/models/gemini-2.5-pro:generateContent"
CREDENTIALS = {
    "authorization": "Bearer client",
    "x-api-key": "client",
    "api-key": "client",
    "x-goog-api-key": "client",
    "ocp-apim-subscription-key": "client",
    "cookie": "session=client",
}


def asked(path: str = CHAT, *, reply: Reply | None = None, upstream: Any = None, **headers: str) -> Any:
    """The gateway's responses to the same request, twice, and the second request that its upstream saw."""

    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def scenario() -> tuple[httpx.Response, Seen]:
        async with Upstream() as server:
            server.will(reply or json_reply({}))
            # Cookies of an address are kept by nobody.
            url = server.url.replace("127.0.0.1", "localhost")
            settings = config(route={"upstreams": [{"url": url, **(upstream or {})}]})
            async with serving(settings) as url, client(url) as http:
                for _ in range(2):
                    http.cookies.clear()
                    response = await http.post(path, json=ask(), headers=encoded)
            return response, server.seen[1]

    return run(scenario())


def test_the_headers_of_the_client_reach_the_upstream() -> None:
    sent = {"anthropic-version": "2023-06-01", "openai-organization": "o", "user-agent": "sdk/1", "x-a": "caf\xe9"}
    _, seen = asked(**CREDENTIALS, **sent)
    for name, value in {**sent, **CREDENTIALS}.items():
        assert seen.values(name) == [value.encode().decode("latin-1")]
    (host,) = seen.values("host")
    assert host.startswith("localhost:")


def test_those_of_its_connection_do_not() -> None:
    sent = {"connection": "keep-alive, x-mine", "x-mine": "1", "te": "trailers", "keep-alive": "9", "upgrade": "h2c"}
    _, seen = asked(**sent, **{"accept-encoding": "br, gzip", "proxy-authorization": "Basic x"})
    for name in ("x-mine", "te", "keep-alive", "upgrade", "proxy-authorization"):
        assert seen.values(name) == []
    assert seen.values("accept-encoding") == ["identity"]


def test_those_that_proxies_add_of_the_client_do_not() -> None:
    sent = {"x-forwarded-for": "10.1.2.3", "forwarded": "for=10.1.2.3", "x-real-ip": "10.1.2.3", "via": "1.1 nginx"}
    _, seen = asked(**sent, **{"x-forwarded-proto": "https", "x-forwarded-host": "h"})
    assert not {name for name, _ in seen.headers if name in sent or name.startswith("x-forwarded")}


def test_a_slice_of_what_is_rewritten_cannot_be_asked_for() -> None:
    _, seen = asked(**{"range": "bytes=0-99", "if-range": '"e"'})
    assert seen.values("range") == seen.values("if-range") == []


def test_nothing_is_invented() -> None:
    async def scenario() -> None:
        async with Upstream() as server, serving(config(server.url)) as url:
            server.will(json_reply({}))
            async with Client(int(url.rpartition(":")[2]), "/v1/models") as client:
                await client.rest()
            assert {name for name, _ in server.seen[0].headers} == {"host", "accept-encoding", "x-request-id"}

    run(scenario())


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        (CHAT, "authorization", "Bearer sk-1"),
        ("/v1/embeddings", "authorization", "Bearer sk-1"),
        (MESSAGES, "x-api-key", "sk-1"),
        (GEMINI, "x-goog-api-key", "sk-1"),
        # What no dialect answers is of an API all the same.
        (f"{MESSAGES}/count_tokens", "x-api-key", "sk-1"),
        ("/v1beta/models", "x-goog-api-key", "sk-1"),
        ("/v1beta/models/m:countTokens", "x-goog-api-key", "sk-1"),
        ("/v1beta/openai/models", "authorization", "Bearer sk-1"),
        ("/v1/models/llama3:latest", "authorization", "Bearer sk-1"),
        ("/v1/models/ft:gpt-4o-mini:acme::AbCd", "authorization", "Bearer sk-1"),
    ],
)
def test_a_key_of_the_gateway_replaces_the_credentials_of_the_client(
    monkeypatch: pytest.MonkeyPatch, path: str, name: str, value: str
) -> None:
    monkeypatch.setenv("KEY", "sk-1")
    target = f"{path}?key=client&k%65y=client&alt=sse&api-key=client&access_token=client"
    _, seen = asked(target, upstream={"api_key_env": "KEY"}, **CREDENTIALS)
    assert [item for item in seen.headers if item[0] in CREDENTIALS] == [(name, value)]
    assert seen.target == f"{path}?alt=sse"


def test_the_header_of_a_key_may_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "sk-1")
    for header, value in (("api-key", "sk-1"), ("authorization", "Bearer sk-1")):
        _, seen = asked(MESSAGES, upstream={"api_key_env": "KEY", "key_header": header}, **CREDENTIALS)
        assert [item for item in seen.headers if item[0] in CREDENTIALS] == [(header, value)]


def test_a_large_head_of_the_upstream_passes() -> None:
    sent = [("x-long", "a" * 60_000), *((f"x-{number}", "1") for number in range(300))]
    response, _ = asked(reply=json_reply({}, headers=sent))
    assert [item for item in response.headers.multi_items() if item[0].startswith("x-") and item in sent] == sent


@pytest.mark.parametrize("reply", [Reply(chunks=CHAT_STREAM), json_reply({}), Reply(headers=[("content-type", "a/b")])])
def test_the_headers_of_the_upstream_reach_the_client(reply: Reply) -> None:
    (kind, *_) = reply.headers
    sent = [
        kind,
        ("openai-processing-ms", "12"),
        ("x-ratelimit-remaining-requests", "9"),
        ("set-cookie", "a=1; Path=/"),
        ("set-cookie", "b=2"),
        ("x-a", "caf\xe9"),
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("server", "upstream"),
        ("x-mine", "1"),
        ("connection", "x-mine"),
        ("x-request-id", "of-the-upstream"),
    ]
    response, seen = asked(reply=Reply(headers=sent, chunks=reply.chunks))
    assert seen.values("cookie") == []
    headers = [(name.decode().lower(), value.decode("latin-1")) for name, value in response.headers.raw]
    assert [value for name, value in headers if name == "set-cookie"] == ["a=1; Path=/", "b=2"]
    assert ("x-a", "caf\xe9") in headers
    assert [value for name, value in headers if name == "x-request-id"] == ["of-the-upstream"]
    assert [value for name, value in headers if name == "date"] != ["Thu, 01 Jan 1970 00:00:00 GMT"]
    assert len([value for name, value in headers if name == "date"]) == 1
    assert not {"x-mine", "connection"} & {name for name, _ in headers}
    assert response.headers["openai-processing-ms"] == "12"


def test_the_id_of_a_request() -> None:
    response, seen = asked(**{"x-request-id": "of-the-client"})
    assert seen.values("x-request-id") == ["of-the-client"]
    assert response.headers["x-request-id"] == "of-the-client"
    response, seen = asked(**{"x-request-id": "no id" * 50})
    (given,) = seen.values("x-request-id")
    assert given.startswith("req_")
    assert response.headers["x-request-id"] == given


def test_an_error_of_the_gateway_has_the_id_too() -> None:
    response, _ = asked(reply=Reply(headers=[EVENTS, ("content-encoding", "br")]), **{"x-request-id": "i"})
    assert response.status_code == 502
    assert response.headers["x-request-id"] == "i"
    assert response.headers["content-type"] == JSON[1]
