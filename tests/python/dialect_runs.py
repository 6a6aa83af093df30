"""Streams run through a dialect's rules and captures, and the errors that clients are told of."""

from __future__ import annotations

from typing import Any

import pytest
from dialect_streams import STREAMS
from oracle import blocks_of
from sse_fast import IdleTimeoutError, Rewriter, TruncatedError
from sse_fast.aio import RewriteStream, StreamReport, rewrite_iter
from sse_fast.dialects import DIALECTS, Dialect

NAMES = list(STREAMS)
APIS = NAMES[:4]
each_api = pytest.mark.parametrize("api", APIS)
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def rewriter_for(dialect: Dialect, **options: Any) -> Rewriter:
    rules = [*dialect.rules(**options), *dialect.captures()]
    return Rewriter(rules, **dialect.policies(repair=options.get("repair", False)))


def whole(api: str) -> bytes:
    return STREAMS[api]["plain"]


def passed(dialect: Dialect, stream: bytes, *rules: Any, errors: Any = "event") -> tuple[bytes, StreamReport]:
    """All that comes out of a stream with the captures, and its report."""
    with rewrite_iter([stream], Rewriter([*rules, *dialect.captures()]), dialect=dialect, errors=errors) as outputs:
        out = b"".join(outputs)
    return out, outputs.report


class ReadTimeout(Exception):
    """Like those of httpx, which are no `TimeoutError`."""


SECRET = "https://user:hunter2@10.1.2.3:8443/v1?key=sk-abc"
TIMEOUTS = [TimeoutError(SECRET), IdleTimeoutError(SECRET), ReadTimeout(SECRET)]
OTHERS = [TruncatedError(SECRET), ConnectionResetError(SECRET), ValueError(SECRET), RuntimeError(SECRET)]
each_error = pytest.mark.parametrize("error", [*TIMEOUTS, *OTHERS], ids=lambda error: type(error).__name__)


def message_for(error: Exception) -> str:
    if error in TIMEOUTS:
        return "the upstream did not answer in time"
    verb = "ended" if isinstance(error, TruncatedError) else "failed"
    return f"the upstream {verb} before its answer was complete"


def parts(api: str) -> tuple[bytes, bytes, bytes]:
    """Whole events, half an event, and the rest of the stream."""
    stream = whole(api)
    _, blocks, _ = blocks_of(stream)
    at = len(blocks[0].raw + blocks[1].raw)
    half = at + len(blocks[2].raw) // 2
    return stream[:at], stream[at:half], stream[half:]


async def gather(stream: RewriteStream) -> bytes:
    async with stream:
        return b"".join([output async for output in stream])
