"""The official SDKs on rewritten streams: they parse what they parsed before but for the changes."""

from __future__ import annotations

import importlib
import json
from typing import Any

import dialect_oracle
import pytest
import support
from dialect_oracle import ALL, as_stream, wanted
from dialect_runs import APIS, each_api
from dialect_streams import BODIES, EVERY, OWN, STREAMS
from oracle import blocks_of
from sdks import SDK, Upstream, rewriting, same
from sse_fast import Rewriter, Rules
from sse_fast.dialects import get

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


@each_api
def test_bodies_are_parsed_the_same_but_for_the_changes(api):
    sdk = SDK(api)
    body = BODIES[api][0]
    changed = dialect_oracle.spelled(json.dumps(body))
    dialect_oracle.change(api, changed, ALL, is_body=True)

    def answer(transport: Any) -> Any:
        return sdk.plain(sdk.ask(sdk.client(transport), stream=False))

    upstream = Upstream(json.dumps(body).encode(), kind="application/json")
    should = Upstream(dialect_oracle.spell(changed).encode(), kind="application/json")
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
