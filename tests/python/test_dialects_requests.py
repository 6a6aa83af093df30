"""What a request asks for, and how a gateway asks in its place."""

from __future__ import annotations

import json

import pytest
from sse_fast.dialects import (
    DIALECTS,
    Asked,
    Dialect,
    chat_completions,
    gemini,
    messages,
    path_with_model,
    responses,
)

GEMINI = "/v1beta/models/gemini-2.5-flash"
VERTEX = "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro"


@pytest.mark.parametrize(
    ("path", "body", "model", "streams"),
    [
        ("/v1/chat/completions", {"model": "m", "stream": True}, "m", True),
        ("/v1/chat/completions", {"model": "m", "stream": False}, "m", False),
        ("/v1/chat/completions", {"model": "m"}, "m", False),
        ("/v1/messages", {"model": 5, "stream": 1}, None, False),
        ("/v1/messages", {"model": None, "stream": "true"}, None, False),
        ("/v1/responses", [{"model": "m"}], None, False),
        (f"{GEMINI}:streamGenerateContent", {}, "gemini-2.5-flash", True),
        (f"{GEMINI}:generateContent", {"model": "other"}, "gemini-2.5-flash", False),
        (f"{VERTEX}:streamGenerateContent", {}, "gemini-2.5-pro", True),
        ("/v1/models/tuned%2Fa%3Ab:streamRawPredict", {}, "tuned/a:b", True),
        (f"{GEMINI}:streamlined", {}, None, False),
        ("/v1/models/m", {}, None, False),
        ("/v1/models/a/b:generateContent", {}, None, False),
        ("/v1/models/ft:gpt-4o-mini:acme::AbCd", {}, None, False),
        ("/v1/models/llama3:latest", {}, None, False),
        ("/v1beta/models/m%3AstreamGenerateContent", {}, "m", True),
        ("/v1beta/models/q:8b:streamGenerateContent/", {}, "q:8b", True),
    ],
)
def test_what_a_request_asks_for(path: str, body: object, model: str | None, streams: bool) -> None:
    assert Asked.of(path, json.dumps(body).encode()) == Asked(model, streams)


@pytest.mark.parametrize("body", [b"", b"{", b'{"model":"m"', b"\xff", b'"m"'])
def test_what_is_no_json_object_says_nothing(body: bytes) -> None:
    assert Asked.of("/v1/messages", body) == Asked(None, False)


def test_the_last_of_two_models_counts_as_it_does_to_a_json_parser() -> None:
    assert Asked.of("/v1/messages", b'{"model":"a","mod\\u0065l":"b"}').model == "b"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{GEMINI}:generateContent", "/v1beta/models/real%2F1:generateContent"),
        ("/models/gemini%2D2.5%2Dflash:generateContent", "/models/real%2F1:generateContent"),
        ("/models/other:generateContent", "/models/other:generateContent"),
        ("/models/%E9:generateContent", "/models/%E9:generateContent"),
        (GEMINI, GEMINI),
        ("/v1/chat/completions", "/v1/chat/completions"),
    ],
)
def test_the_model_in_a_path_is_replaced(path: str, expected: str) -> None:
    assert path_with_model(path, {"gemini-2.5-flash": "real/1"}) == expected


@pytest.mark.parametrize(
    ("dialect", "header"),
    [
        (chat_completions, ("authorization", "Bearer sk-1")),
        (responses, ("authorization", "Bearer sk-1")),
        (messages, ("x-api-key", "sk-1")),
        (gemini, ("x-goog-api-key", "sk-1")),
    ],
)
def test_a_key_goes_where_the_api_looks_for_it(dialect: Dialect, header: tuple[str, str]) -> None:
    assert dialect.authorization("sk-1") == header
    assert dialect.authorization("sk-1", header="Authorization") == ("Authorization", "Bearer sk-1")
    assert dialect.authorization("sk-1", header="api-key") == ("api-key", "sk-1")


def test_the_model_of_a_json_body() -> None:
    assert chat_completions.body_model(b'{"model": "m\\u0031"}') == "m1"
    assert gemini.body_model('[{"modelVersion":"a"},{"modelVersion":"b"}]') == "b"
    for dialect in DIALECTS:
        for body in (b"", b"{", b"[]", b'{"model":null,"modelVersion":null}', b'{"model":"","modelVersion":7}'):
            assert dialect.body_model(body) is None
        assert dialect.body_model("\ud800") is None
