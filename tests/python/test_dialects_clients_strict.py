"""Strict clients: they crash on the original and live on the repaired stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import dialect_oracle
import dialect_streams
import pytest
import support
from dialect_streams import DONE, STREAMS, block, named
from sdks import SDK, Upstream, rewriting
from sse_fast import Rules
from sse_fast.dialects import get, responses


def texts(client: Any) -> str:
    """What applications do."""
    stream = client.chat.completions.create(model="m", messages=[], stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def crashes_and_lives(
    api: str, stream: bytes, use: Callable[[Any], Any], error: type[Exception], strict: bool = False, **options: Any
) -> Any:
    """What a client comes to with the repaired stream, after it has crashed with the original one."""
    sdk, how = SDK(api), {"_strict_response_validation": True} if strict else {}
    with pytest.raises(error):
        use(sdk.client(Upstream(stream), **how))
    return use(sdk.client(rewriting(api, Upstream(stream), **(options or {"repair": True})), **how))


GOOD = block(dialect_streams.chunk({"role": "assistant", "content": "good"}, "stop"))


@pytest.mark.parametrize("api", ["chat_completions", "messages", "responses"])
def test_f11_sdks_lose_a_last_event_that_is_not_ended(api):
    sdk, stream = SDK(api), STREAMS[api]["no final blank line"]
    lost, found = sdk.read(Upstream(stream)), sdk.read(rewriting(api, Upstream(stream)))
    assert lost[1] is found[1] is None
    assert len(found[0]) == len(lost[0]) + 1


@pytest.mark.parametrize("empty", [b"retry: 3000\n\n", b"event: ping\n\n", b"data:\n\n", b"data\n\n"])
def test_f13_openai_crashes_on_blocks_without_data(empty):
    assert crashes_and_lives("chat_completions", empty + GOOD + DONE, texts, json.JSONDecodeError) == "good"


def test_f13_google_genai_crashes_on_comments():
    api = "gemini"
    errors = pytest.importorskip("google.genai.errors")

    def use(client: Any) -> str:
        return "".join(
            each.text or "" for each in client.models.generate_content_stream(model="m", contents="x") if each.text
        )

    stream = b": PROCESSING\r\n\r\n" + STREAMS[api]["plain"]
    assert dialect_streams.TEXT in crashes_and_lives(api, stream, use, errors.UnknownApiResponseError)


def test_f38_applications_crash_on_the_usage_chunk():
    stream = GOOD + block(dialect_streams.chunk(None, usage=dialect_streams.CHAT_USAGE)) + DONE
    assert crashes_and_lives("chat_completions", stream, texts, IndexError, drop_usage_chunk=True) == "good"


def test_f38_openai_s_stream_helper_crashes_without_choices():
    stream = GOOD + block({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "x-1"}) + DONE

    def use(client: Any) -> Any:
        with client.chat.completions.stream(model="m", messages=[]) as events:
            return events.get_final_completion().choices[0].message.content

    assert crashes_and_lives("chat_completions", stream, use, TypeError) == "good"


def test_f38_openai_refuses_an_empty_role_where_it_validates():
    openai = pytest.importorskip("openai")
    stream = block(dialect_streams.chunk({"role": "", "content": "very "})) + GOOD + DONE
    error = openai.APIResponseValidationError
    assert crashes_and_lives("chat_completions", stream, texts, error, strict=True) == "very good"


def numbers(client: Any) -> list[int]:
    return [event.sequence_number for event in client.responses.create(model="m", input="", stream=True)]


def test_f38_openai_refuses_usage_without_cached_tokens_where_it_validates():
    openai = pytest.importorskip("openai")
    usage = dialect_streams.RESPONSES_USAGE | {
        "input_tokens_details": {"cache_write_tokens": 0},
        "output_tokens_details": {},
    }
    stream = named(*dialect_streams.BEGIN, dialect_streams.response("completed", 2, "completed", usage=usage))
    error = openai.APIResponseValidationError
    assert crashes_and_lives("responses", stream, numbers, error, strict=True) == [0, 1, 2]


def test_f40_openai_refuses_events_without_a_number_where_it_validates():
    openai = pytest.importorskip("openai")
    error = openai.APIResponseValidationError
    assert crashes_and_lives("responses", STREAMS["responses"]["unnumbered"], numbers, error, strict=True) == [
        0,
        1,
        2,
        3,
    ]


def test_f40_a_client_that_counts_aborts_at_a_gap():
    def use(client: Any) -> int:
        seen = numbers(client)
        if seen != [*range(seen[0], seen[0] + len(seen))]:
            raise RuntimeError(f"an event is missing: {seen}")
        return len(seen)

    assert crashes_and_lives("responses", STREAMS["responses"]["gaps"], use, RuntimeError) == 4


# After the API's documentation: the members that a chunk must have, and no null where none is named.
CHUNK_SCHEMA = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices"],
    "properties": {
        "choices": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "delta", "finish_reason"],
                "properties": {
                    "delta": {
                        "type": "object",
                        "properties": {"role": {"enum": ["developer", "system", "user", "assistant", "tool"]}},
                    }
                },
            },
        },
        "usage": {
            "type": ["object", "null"],
            "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
            "properties": {
                "prompt_tokens_details": {
                    "type": "object",
                    "required": ["cached_tokens"],
                    "properties": {"cached_tokens": {"type": "integer"}},
                }
            },
        },
    },
}
USAGE = dialect_streams.CHAT_USAGE | {"prompt_tokens_details": {"audio_tokens": 0}}


@pytest.mark.parametrize(
    "value",
    [
        dialect_streams.chunk({"role": None, "content": "x"}),
        dialect_streams.chunk({"role": "", "content": "x"}),
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x-1"},
        dialect_streams.chunk(None, usage=USAGE),
    ],
    ids=["null role", "empty role", "no choices", "no cached_tokens"],
)
def test_f38_a_strict_schema(value):
    jsonschema = pytest.importorskip("jsonschema")

    def validate(stream: bytes) -> None:
        for each in dialect_oracle.values_of(stream):
            jsonschema.validate(each, CHUNK_SCHEMA)

    stream = block(value) + GOOD + DONE
    with pytest.raises(jsonschema.ValidationError):
        validate(stream)
    validate(support.run(Rules(get("chat_completions").rules(repair=True)), stream))


def test_f38_a_strict_model():
    pydantic = pytest.importorskip("pydantic")

    class Details(pydantic.BaseModel):
        cached_tokens: int

    class Said(pydantic.BaseModel):
        input_tokens: int
        input_tokens_details: Details

    body = json.dumps({"usage": {"input_tokens": 3, "input_tokens_details": {}}}).encode()
    with pytest.raises(pydantic.ValidationError):
        Said.model_validate(json.loads(body)["usage"])
    repaired = Rules(responses.body_rules(repair=True)).rewrite_json(body)
    assert Said.model_validate(json.loads(repaired)["usage"]).input_tokens_details.cached_tokens == 0
