"""The official SDKs on rewritten streams: they parse what they parsed before but for the changes, know errors as their
own, and live where they crashed.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("httpx")

import dialect_streams
import support
from dialect_streams import ALL, BODIES, DONE, EVERY, OWN, STREAMS, as_stream, block, named, wanted
from oracle import blocks_of
from sse_fast import Rewriter, Rules
from sse_fast.dialects import get, responses
from sse_fast.httpx import RewriteTransport

APIS = ["chat_completions", "messages", "responses", "gemini"]
each_api = pytest.mark.parametrize("api", APIS)


@pytest.fixture(autouse=True, scope="module")
def _no_certificates() -> Iterator[None]:
    """Clients read certificates, half of the time that all this takes; no socket is opened here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_verify_locations", lambda *arguments, **options: None)
        yield


# Upstreams and clients ---------------------------------------------------------------------------------


class Upstream:
    """Answers each request with the same, for whichever library and kind of client asks; fails with its last chunk."""

    def __init__(
        self,
        *chunks: bytes,
        error: str | None = None,
        status: int = 200,
        kind: str = "text/event-stream",
        **headers: str,
    ) -> None:
        self.chunks, self.error, self.status = chunks, error, status
        self.headers = {"content-type": kind} | headers
        self.closings = 0

    def handle_request(self, request: Any) -> Any:
        library = importlib.import_module(type(request).__module__.partition(".")[0])
        return library.Response(self.status, headers=self.headers, stream=self.body(library), request=request)

    async def handle_async_request(self, request: Any) -> Any:
        return self.handle_request(request)

    def body(self, library: ModuleType) -> Any:
        upstream = self

        class Body(library.AsyncByteStream, library.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                yield from upstream.chunks
                if upstream.error is not None:
                    raise getattr(library, upstream.error)("https://user:hunter2@10.1.2.3")

            async def __aiter__(self) -> AsyncIterator[bytes]:
                for chunk in self:
                    yield chunk

            def close(self) -> None:
                upstream.closings += 1

            async def aclose(self) -> None:
                upstream.closings += 1

        return Body()


def rewriting(api: str, upstream: Upstream, **options: Any) -> RewriteTransport:
    """The upstream behind the rules of a dialect, as a gateway would have them."""
    dialect = get(api)
    rules = Rules([*dialect.rules(**options), *dialect.captures()])
    policies = dialect.policies(repair=options.get("repair", False))
    body_rules = Rules(dialect.body_rules(**options))
    return RewriteTransport(
        rules, body_rules=body_rules, transport=upstream, dialect=dialect, errors="event", **policies
    )


class SDK:
    """One official client; a call gives all that it parses as plain values, and the error that it raises."""

    library: ModuleType
    errors: tuple[type[Exception], ...]

    def __init__(self, api: str) -> None:
        self.api = api
        if api == "gemini":
            self.genai = pytest.importorskip("google.genai")
            self.http = importlib.import_module("httpx")
            self.error: type[Exception] = importlib.import_module("google.genai.errors").APIError
        else:
            self.library = pytest.importorskip("anthropic" if api == "messages" else "openai")
            self.http = importlib.import_module(self.library._base_client.URL.__module__.partition(".")[0])
            self.error = self.library.APIError

    def client(self, transport: Any, *, is_async: bool = False, **options: Any) -> Any:
        http_client = getattr(self.http, "AsyncClient" if is_async else "Client")(transport=transport)
        if self.api == "gemini":
            name = "httpx_async_client" if is_async else "httpx_client"
            client = self.genai.Client(api_key="k", http_options=self.genai.types.HttpOptions(**{name: http_client}))
            return client.aio if is_async else client
        kind = {"messages": "Anthropic"}.get(self.api, "OpenAI")
        kind = f"Async{kind}" if is_async else kind
        return getattr(self.library, kind)(api_key="k", http_client=http_client, max_retries=0, **options)

    def ask(self, client: Any, *, stream: bool = True) -> Any:
        """The call; to be awaited where the client is asynchronous."""
        if self.api == "chat_completions":
            return client.chat.completions.create(model="m", messages=[], stream=stream)
        if self.api == "responses":
            return client.responses.create(model="m", input="", stream=stream)
        if self.api == "messages":
            return client.messages.create(model="m", max_tokens=1, messages=[], stream=stream)
        if stream:
            return client.models.generate_content_stream(model="m", contents="x")
        return client.models.generate_content(model="m", contents="x")

    def plain(self, value: Any) -> Any:
        if self.api == "gemini":
            # What the SDK adds of the transport's headers is no part of the answer.
            return value.model_dump(exclude={"sdk_http_response"})
        return value.model_dump(warnings=False)

    def read(self, transport: Any, **options: Any) -> tuple[list[Any], Exception | None]:
        values: list[Any] = []
        try:
            for value in self.ask(self.client(transport, **options)):
                values.append(self.plain(value))
        except Exception as error:
            return values, error
        return values, None

    async def aread(self, transport: Any) -> tuple[list[Any], Exception | None]:
        values: list[Any] = []
        try:
            async for value in await self.ask(self.client(transport, is_async=True)):
                values.append(self.plain(value))
        except Exception as error:
            return values, error
        return values, None


def same(left: tuple[list[Any], Exception | None], right: tuple[list[Any], Exception | None]) -> None:
    assert left[0] == right[0]
    assert type(left[1]) is type(right[1])
    assert str(left[1]) == str(right[1])


# What they parse ---------------------------------------------------------------------------------------

PARSED = {name: recording for name, recording in EVERY.items() if recording.api in APIS}


@pytest.mark.parametrize("recording", PARSED.values(), ids=PARSED)
def test_sdks_parse_the_same_but_for_the_changes(recording):
    """With no option what the original gives; with all what the naive oracle's stream gives."""
    sdk, rules = SDK(recording.api), get(recording.api)
    stream = recording.stream
    before = sdk.read(Upstream(stream))
    untouched = support.run(Rules(rules.captures()), support.random_cuts(stream, 1))
    if untouched != stream:  # a last event was ended, which SDKs lose (F11)
        values, error = sdk.read(Upstream(untouched))
        assert values[: len(before[0])] == before[0]
        assert error is None or before[1] is not None
    rewriter = Rewriter([*rules.rules(**ALL), *rules.captures()], **rules.policies(repair=True))
    rewritten = support.through(rewriter, support.random_cuts(stream, 2))
    after = sdk.read(Upstream(rewritten))
    same(after, sdk.read(Upstream(as_stream(wanted(recording.api, stream, ALL)))))
    assert before[1] is not None or after[1] is None  # no new crash


@each_api
@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_sdks_on_the_transport(api, is_async):
    sdk = SDK(api)
    for name, recording in OWN.items():
        if recording.api != api or name.endswith((" cut", " early end")):
            continue
        pieces = support.random_cuts(recording.stream, 4)
        upstream = Upstream(*pieces)
        transport = rewriting(api, upstream, **ALL)
        should = sdk.read(Upstream(as_stream(wanted(api, recording.stream, ALL))))
        same(await sdk.aread(transport) if is_async else sdk.read(transport), should)
        # Google's leaves a response as it is when an event in it is an error.
        assert upstream.closings == (0 if name == "gemini error" else 1), name


# Errors ------------------------------------------------------------------------------------------------


def parts(api: str) -> tuple[bytes, bytes]:
    """Two whole events, and half of a third."""
    blocks = [each.raw for each in blocks_of(STREAMS[api]["plain"])[1]]
    return blocks[0] + blocks[1], blocks[2][: len(blocks[2]) // 2]


@each_api
@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("error", ["ReadTimeout", "ReadError", "RemoteProtocolError", None])
async def test_an_error_event_is_the_sdk_s_own_error(api, is_async, error):
    """F26, F27: a broken upstream never looks like success, and the error is in the API's own form."""
    sdk = SDK(api)
    upstream = Upstream(*parts(api), error=error)
    transport = rewriting(api, upstream, model="ours")
    call = sdk.aread(transport) if is_async else asyncio.to_thread(sdk.read, transport)
    values, raised = await asyncio.wait_for(call, 30)  # nothing hangs
    assert values == sdk.read(Upstream(support.run(Rules(get(api).rules(model="ours")), parts(api)[0])))[0]
    assert isinstance(raised, sdk.error)
    assert ("in time" in str(raised)) == (error == "ReadTimeout")
    assert "hunter2" not in str(raised)
    assert upstream.closings == 1 or (api == "gemini" and not is_async)  # which leaves it to the collector


@each_api
@pytest.mark.anyio
async def test_a_client_can_go_on_after_an_error_event(api):
    sdk = SDK(api)
    upstream = Upstream(*parts(api), error="ReadError")
    client = sdk.client(rewriting(api, upstream), is_async=True)
    for number in (1, 2):
        with pytest.raises(sdk.error):
            [value async for value in await sdk.ask(client)]
        assert upstream.closings == number
    upstream.chunks, upstream.error = (STREAMS[api]["plain"],), None
    assert [value async for value in await sdk.ask(client)]


@each_api
@pytest.mark.parametrize("error", [TimeoutError(), OSError()], ids=["timeout", "other"])
def test_an_error_body_is_the_sdk_s_own_error(api, error):
    """Before a stream there is a status to choose."""
    sdk, dialect = SDK(api), get(api)
    status, body = dialect.error_body(error)
    _, raised = sdk.read(Upstream(body, status=status, kind="application/json"))
    assert isinstance(raised, sdk.error)
    assert status in (getattr(raised, "status_code", None), getattr(raised, "code", None))
    assert json.loads(body)["error"]["message"] in str(raised)


@each_api
def test_keep_alives_are_nothing_to_an_sdk(api):
    """F15: between any two events, and before the first."""
    sdk, dialect = SDK(api), get(api)
    blocks = [each.raw for each in blocks_of(STREAMS[api]["plain"])[1]]
    stream = b"".join(dialect.keep_alive + block for block in blocks)
    same(sdk.read(Upstream(stream)), sdk.read(Upstream(b"".join(blocks))))


def test_f15_a_keep_alive_for_openai_behind_an_id():
    """openai-python dispatches a block of comments once it has seen an `id:`; a comment line alone it passes over."""
    sdk = SDK("chat_completions")
    blocks = [b"id: 1\n" + each.raw for each in blocks_of(STREAMS["chat_completions"]["plain"])[1]]
    usual = get("chat_completions")
    assert isinstance(sdk.read(Upstream(usual.keep_alive.join(blocks)))[1], json.JSONDecodeError)
    variant = usual.replace(keep_alive=b": keep-alive\n")
    same(sdk.read(Upstream(variant.keep_alive.join(blocks))), sdk.read(Upstream(b"".join(blocks))))


# JSON bodies -------------------------------------------------------------------------------------------


@each_api
def test_bodies_are_parsed_the_same_but_for_the_changes(api):
    sdk = SDK(api)
    body = BODIES[api][0]
    changed = dialect_streams.spelled(json.dumps(body))
    dialect_streams.change(api, changed, ALL, is_body=True)

    def answer(transport: Any) -> Any:
        return sdk.plain(sdk.ask(sdk.client(transport), stream=False))

    upstream = Upstream(json.dumps(body).encode(), kind="application/json")
    should = Upstream(dialect_streams.spell(changed).encode(), kind="application/json")
    assert answer(rewriting(api, upstream, **ALL)) == answer(should) != answer(upstream)


@each_api
@pytest.mark.parametrize("status", [200, 502])
def test_a_body_that_is_no_json_passes_with_its_status(api, status):
    httpx = importlib.import_module("httpx")
    body = b'{"model": "x-1", "usage": {"cost": 1}'
    with httpx.Client(
        transport=rewriting(api, Upstream(body, status=status, kind="application/json"), **ALL)
    ) as client:
        response = client.post("http://upstream.test/")
    assert (response.status_code, response.content) == (status, body)


@each_api
def test_an_error_of_the_api_passes_with_its_status(api):
    sdk = SDK(api)
    body = json.dumps(
        {"type": "error", "error": {"type": "x", "message": "too many", "code": 429, "status": "S"}}
    ).encode()
    upstream = Upstream(body, status=429, kind="application/json")
    _, raised = sdk.read(rewriting(api, upstream, **(ALL | {"repair": False})))
    _, direct = sdk.read(upstream)
    assert isinstance(raised, sdk.error)
    assert (type(raised), str(raised)) == (type(direct), str(direct))


# Strict clients: they crash on the original and live on the repaired stream --------------------------------


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
        for each in dialect_streams.values_of(stream):
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
