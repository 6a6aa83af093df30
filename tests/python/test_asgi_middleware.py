"""`RewriteMiddleware`: what passes it, which rules it takes, and errors of use."""

from __future__ import annotations

from typing import Any

import pytest
from asgi_peers import ONE, ONE_MASKED, RULES, TWO, TWO_MASKED, Server
from middleware_case import BODY, JSON, SSE, Case, app, bodies, body, start
from sse_fast import Remove, RuleError, Rules, Set
from sse_fast.asgi import RewriteMiddleware

pytestmark = pytest.mark.anyio


# What passes.


SLICE = (b"content-range", b"bytes 0-9/99")
PASSING = {
    "plain": [start((b"content-type", b"text/plain"), (b"content-length", b"1")), body(b"x")],
    "no content type": [start(), body(b"x")],
    "no headers": [{"type": "http.response.start", "status": 200}, {"type": "http.response.body"}],
    "204": [start(SSE, status=204), body()],
    "304": [start(JSON, (b"etag", b"x"), status=304), body()],
    "205": [start(JSON, status=205), body()],
    "206": [start(SSE, (b"etag", b"x"), status=206), body(ONE)],
    "206 json": [start(JSON, (b"etag", b"x"), status=206), body(BODY)],
    "range": [start(SSE, SLICE), body(ONE)],
    "416": [start((b"content-range", b"bytes */99"), JSON, status=416), body(BODY)],
    "trailers": [
        {**start((b"content-type", b"text/plain")), "trailers": True},
        body(b"x"),
        {"type": "http.response.trailers", "headers": [(b"a", b"b")]},
    ],
    "sent file": [start((b"content-type", b"text/plain")), {"type": "http.response.pathsend", "path": "/x"}],
    "body first": [body(b"x"), start()],
    "two starts": [start((b"content-type", b"text/plain")), start(SSE), body(ONE)],
    "unknown": [{"type": "http.response.debug", "info": {}}, start(), body()],
}


@pytest.mark.parametrize("name", PASSING)
async def test_it_passes_as_the_very_messages(name: str) -> None:
    messages = PASSING[name]
    server = await Case(app(*messages), body_rules=RULES).run()
    assert len(server.sent) == len(messages)
    assert all(sent is message for sent, message in zip(server.sent, messages, strict=True))


async def test_a_plain_HEAD_passes() -> None:
    messages = [start((b"content-type", b"text/plain"), (b"content-length", b"9")), body()]
    server = await Case(app(*messages), body_rules=RULES).run("HEAD")
    assert all(sent is message for sent, message in zip(server.sent, messages, strict=True))


async def test_HEAD_gets_the_headers_of_GET() -> None:
    messages = [start(SSE, (b"content-length", b"9"), (b"etag", b"x")), body()]
    got, head = [await Case(app(*messages)).run(method) for method in ("GET", "HEAD")]
    assert head.headers == got.headers
    assert head.sent[1:] == [body()]
    messages = [start(JSON, (b"content-length", b"24"), (b"etag", b"x")), body()]
    case = Case(app(*messages), body_rules=RULES)
    head = await case.run("HEAD")
    assert head.headers == dict([JSON])  # the length of what GET would give is not known
    assert head.sent[1:] == [body()]
    assert case.reports == []


async def test_informational_responses_pass_before_the_response() -> None:
    hint = {"type": "http.response.early_hint", "links": [b"x"]}
    server = await Case(app(hint, start(JSON, status=103), start(SSE), *bodies(ONE))).run()
    assert server.sent[:2] == [hint, start(JSON, status=103)]
    assert server.body == ONE_MASKED


async def test_trailers_and_other_messages_pass_a_rewritten_response() -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"a", b"b")], "more_trailers": False}
    debug = {"type": "http.response.debug", "info": {}}
    first = {**start(SSE), "trailers": True}
    server = await Case(app(first, debug, *bodies(ONE), trailers)).run()
    assert server.sent[0]["trailers"] is True
    assert server.sent[2] is debug
    assert server.sent[-1] is trailers
    assert server.body == ONE_MASKED
    server = await Case(app({**first, "headers": [JSON]}, debug, body(BODY), trailers), body_rules=RULES).run()
    assert [message["type"].rpartition(".")[2] for message in server.sent] == ["debug", "start", "body", "trailers"]
    assert server.sent[1]["trailers"] is True


async def test_the_server_judges_a_strange_order() -> None:
    second = start(SSE, status=500)
    server = await Case(app(start(SSE), body(ONE, True), second, body(TWO))).run()
    assert server.sent[3] is second
    assert server.body == ONE_MASKED + TWO_MASKED
    late = body(b"late")
    server = Server()
    await server.run(Case(app(start(SSE), body(ONE), late)).app)
    assert server.sent[-1] is late


async def test_headers_may_be_any_iterable() -> None:
    message = {"type": "http.response.start", "status": 200, "headers": iter([SSE])}
    assert (await Case(app(message, *bodies(ONE))).run()).body == ONE_MASKED
    message = {"type": "http.response.start", "status": 200, "headers": iter([(b"content-type", b"text/plain")])}
    server = await Case(app(message, body(b"x"))).run()
    assert list(server.sent[0]["headers"]) == [(b"content-type", b"text/plain")]


async def test_other_scopes_pass() -> None:
    for kind in ("websocket", "lifespan"):
        calls: list[Any] = []

        async def application(*arguments: Any, calls: list[Any] = calls) -> None:
            calls.append(arguments)

        def unasked(scope: Any) -> Rules | None:
            raise AssertionError

        arguments = ({"type": kind}, object(), object())
        await Case(application, unasked).app(*arguments)
        assert calls[0][0] is arguments[0]
        assert calls == [arguments]


# Which rules.


async def test_rules_by_request() -> None:
    def rules_for(scope: Any) -> Rules | None:
        return RULES if scope["path"] == "/" else None

    for path, expected in (("/", ONE_MASKED), ("/other", ONE)):
        scopes = []

        async def application(scope: Any, receive: Any, send: Any, scopes: list[Any] = scopes) -> None:
            scopes.append(scope)
            await app(start(SSE), *bodies(ONE))(scope, receive, send)

        server = Server()
        server.scope["path"] = path
        await server.run(Case(application, rules_for).app)
        assert server.body == expected
        assert scopes[0] is server.scope


async def test_rules_from_any_iterable() -> None:
    case = Case(app(start(SSE), *bodies(ONE)), (rule for rule in [Set("$.model", "a"), Remove("$.n")]))
    for _ in range(2):
        assert (await case.run()).body == b'data: {"model":"a"}\n\n'


async def test_what_a_function_may_return() -> None:
    for wrong in ([Remove("$.n")], "x"):
        case = Case(app(), lambda scope, wrong=wrong: wrong)
        await case.fails(TypeError, f"^the function for rules must return Rules or None, not {type(wrong).__name__}$")
    case = Case(app(), None, body_rules=lambda scope: 1)
    await case.fails(TypeError, "^the function for body_rules must return Rules or None, not int$")


async def test_errors_of_use() -> None:
    def make(**options: Any) -> None:
        RewriteMiddleware(app(), RULES, **options)

    with pytest.raises(ValueError, match="errors must be 'raise' or 'event'"):
        make(errors="no")
    with pytest.raises(ValueError, match="max_body must not be negative: -1"):
        make(max_body=-1)
    with pytest.raises(ValueError):
        make(max_held=0)
    with pytest.raises(ValueError):
        make(on_invalid="no")
    with pytest.raises(RuleError):
        RewriteMiddleware(app(), ["$.model"])  # type: ignore[list-item]
    with pytest.raises(RuleError):
        make(body_rules=[1])
