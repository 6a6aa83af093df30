"""Requests that would like to go elsewhere, or to take something out of what goes on."""

from __future__ import annotations

from pathlib import Path

from live.watch import named, run

from gateway.attacks.raw import post, say, statuses
from gateway.attacks.witness import attacked
from gateway.observed import route
from gateway.upstream import Upstream, json_reply

# What the client says: what the upstream sees; None where it sees nothing.
TARGETS = {
    "/v1/models": "/v1/models",
    "/v1/../admin": None,
    "/v1/./../admin": None,
    "/v1/x/../../admin": None,
    "/v1/..": None,
    "/v1/.": None,
    "/v1/%2e%2e/admin": None,
    "/v1/.%2E/admin": None,
    "/v1/..%2fadmin": None,
    "/v1/%2e%2e%2fadmin": None,
    "/v1/..%5cadmin": None,
    "/v1\\..\\admin": None,
    "/v1/..;/admin": None,
    "/v1/..;x=y/admin": None,
    "/v1/%2e%2e%3b/admin": None,
    "/admin": None,
    "/v10/models": None,
    "/V1/models": None,
    "//v1/models": None,
    "//elsewhere.test/v1/models": None,
    "/\\elsewhere.test/v1": None,
    "/admin/../v1/models": None,
    "/admin%2f..%2fv1": None,
    "http://elsewhere.test/v1/models": "/v1/models",
    "http://user@elsewhere.test:99/v1/models": "/v1/models",
    "http://elsewhere.test/admin": None,
    "http://elsewhere.test": None,
    "http://elsewhere.test?/v1": None,
    "elsewhere.test:80": None,
    "@elsewhere.test/v1": None,
    "v1/models": None,
    "*": None,
    "/v1/\xe9": None,
    # The same path to the upstream as to the gateway, or one below it, byte for byte.
    "/v1//models": "/v1//models",
    "/v1/...": "/v1/...",
    "/v1/x..": "/v1/x..",
    "/v1?/../admin": "/v1?/../admin",
    "/v1?@elsewhere.test/": "/v1?@elsewhere.test/",
    "/v1/%252e%252e/admin": "/v1/%252e%252e/admin",
    "/v1/%0d%0ax:%20y": "/v1/%0d%0ax:%20y",
    "/v1/%00": "/v1/%00",
    "/v1/%ff": "/v1/%ff",
    "/%76%31/models": "/%76%31/models",
    "/v1/models#/../../admin": "/v1/models",
}


def test_no_path_leads_out_of_its_route(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream() as upstream, attacked(tmp_path, route("/v1", upstream.url + "/base")) as gateway:
            upstream.will(json_reply({}))
            for target, expected in TARGETS.items():
                data = f"GET {target} HTTP/1.1\r\nhost: elsewhere.test\r\n\r\n".encode("latin-1")
                status, *_ = statuses(await named(target, say(gateway.port, data)))
                assert [seen.target for seen in upstream.seen] == ([] if expected is None else ["/base" + expected])
                assert status in ((400, 404) if expected is None else (200,)), target
                for seen in upstream.seen:
                    assert seen.values("host") == [upstream.url.removeprefix("http://")]
                upstream.seen.clear()

    run(scenario())


def test_a_model_is_one_segment(tmp_path: Path) -> None:
    """Gemini has it in the path."""
    aliases = {"fast": "../../admin", "sharp": "a?b#c"}

    async def scenario() -> None:
        settings = {"models": aliases, "dialect": "gemini"}
        async with Upstream() as upstream, attacked(tmp_path, route("/", upstream.url, **settings)) as gateway:
            upstream.will(json_reply({}))
            for model in ("fast", "sharp", "f%61st"):
                assert 200 in statuses(await say(gateway.port, post(path=f"/v1beta/models/{model}:generateContent")))
            first, second, third = (seen.target for seen in upstream.seen)
            assert first == third == "/v1beta/models/..%2F..%2Fadmin:generateContent"
            assert second == "/v1beta/models/a%3Fb%23c:generateContent"

    run(scenario())


def test_connection_names_what_is_not_passed_on_and_nothing_of_the_gateways(tmp_path: Path) -> None:
    named_headers = "authorization, x-api-key, host, content-type, content-length, accept-encoding, x-request-id, x-a"

    async def scenario() -> None:
        async with Upstream() as upstream:
            upstream.will(json_reply({}))
            keyed = {"path": "/v1", "upstreams": [{"url": upstream.url, "api_key_env": "KEY"}]}
            async with attacked(tmp_path, keyed, environment={"KEY": "sk-gateway"}) as gateway:
                for name in ("connection", "Connection", "CONNECTION"):
                    headers = [f"{name}: {named_headers}", "connection: te", "x-a: 1", "te: trailers", "cookie: a=b"]
                    headers += ["authorization: Bearer client", "proxy-authorization: Basic x", "keep-alive: 99"]
                    assert statuses(await say(gateway.port, post(b"{}", *headers), last=b"")) == [200]
            assert len(upstream.seen) == 3
            for seen in upstream.seen:
                assert seen.values("authorization") == ["Bearer sk-gateway"]
                assert seen.values("accept-encoding") == ["identity"]
                assert seen.values("content-length") == ["2"]
                assert len(seen.values("x-request-id")) == len(seen.values("host")) == 1
                for gone in ("connection", "x-a", "te", "cookie", "proxy-authorization", "keep-alive"):
                    assert seen.values(gone) == [], gone

    run(scenario())
