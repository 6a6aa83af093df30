"""The official SDKs know errors as their own: events, bodies and refusals."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Iterator

import pytest
import support
from dialect_runs import each_api, parts
from dialect_streams import STREAMS
from sdks import SDK, Upstream, rewriting
from sse_fast import RefusalError, Rewriter, Rules
from sse_fast.aio import rewrite_iter
from sse_fast.dialects import get


@each_api
@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("error", ["ReadTimeout", "ReadError", "RemoteProtocolError", None])
async def test_an_error_event_is_the_sdk_s_own_error(api, is_async, error):
    """F26, F27: a broken upstream never looks like success, and the error is in the API's own form."""
    sdk = SDK(api)
    upstream = Upstream(*parts(api)[:2], error=error)
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
    upstream = Upstream(*parts(api)[:2], error="ReadError")
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


# A status, and the class of OpenAI's SDK, of Anthropic's, of Google's.
REFUSALS = {
    400: ("BadRequestError", "BadRequestError", "ClientError"),
    401: ("AuthenticationError", "AuthenticationError", "ClientError"),
    403: ("PermissionDeniedError", "PermissionDeniedError", "ClientError"),
    404: ("NotFoundError", "NotFoundError", "ClientError"),
    408: ("APIStatusError", "RequestTimeoutError", "ClientError"),
    409: ("ConflictError", "ConflictError", "ClientError"),
    413: ("APIStatusError", "ContentTooLargeError", "ClientError"),
    422: ("UnprocessableEntityError", "UnprocessableEntityError", "ClientError"),
    429: ("RateLimitError", "RateLimitError", "ClientError"),
    500: ("InternalServerError", "InternalServerError", "ServerError"),
    502: ("InternalServerError", "InternalServerError", "ServerError"),
    503: ("InternalServerError", "ServiceUnavailableError", "ServerError"),
    504: ("InternalServerError", "GatewayTimeoutError", "ServerError"),
    529: ("InternalServerError", "OverloadedError", "ServerError"),
}


@each_api
@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("status", REFUSALS)
async def test_a_refusal_is_the_sdk_s_own_error_for_its_status(api, is_async, status):
    sdk, body = SDK(api), get(api).refusal(status, "no such model here")
    upstream = Upstream(body, status=status, kind="application/json")
    values, raised = await sdk.aread(upstream) if is_async else sdk.read(upstream)
    assert values == []
    assert type(raised).__name__ == REFUSALS[status][{"messages": 1, "gemini": 2}.get(api, 0)]
    said = json.loads(body)["error"]
    if api == "gemini":
        assert (raised.code, raised.status, raised.message) == (status, said["status"], "no such model here")
    elif api == "messages":
        assert (raised.status_code, raised.type, raised.api_message) == (status, said["type"], "no such model here")
        known = importlib.import_module("anthropic.types.shared.error_type").ErrorType
        assert raised.type in (*known.__args__, "request_too_large")  # which the documentation has beside them
    else:
        assert (raised.status_code, raised.code, raised.type) == (status, str(status), said["type"])
        assert raised.body == said
        assert "no such model here" in str(raised)


@each_api
@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_refusal_in_a_stream_is_the_sdk_s_own_error(api, is_async):
    dialect, (events, half, _) = get(api), parts(api)

    def shut_down() -> Iterator[bytes]:
        yield from (events, half)
        raise RefusalError(503, "the gateway is shutting down")

    with rewrite_iter(shut_down(), Rewriter(dialect.captures()), dialect=dialect, errors="event") as outputs:
        upstream = Upstream(*outputs)
    sdk = SDK(api)
    values, raised = await sdk.aread(upstream) if is_async else sdk.read(upstream)
    assert values == sdk.read(Upstream(events))[0]
    assert isinstance(raised, sdk.error)
    assert "the gateway is shutting down" in str(raised)
    if api == "gemini":
        assert (type(raised).__name__, raised.code, raised.status) == ("ServerError", 503, "UNAVAILABLE")
    else:
        assert raised.type == ("overloaded_error" if api == "messages" else "service_unavailable_error")
