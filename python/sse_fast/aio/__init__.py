"""Event streams in asyncio: backpressure, cancellation, errors, keep-alives, taps and a report.

>>> from sse_fast import Rewriter, Set
>>> from sse_fast.aio import RewriteStream
>>> async def answer(upstream):
...     async with RewriteStream(upstream, Rewriter([Set("$.model", "alias")]), heartbeat=15.0) as stream:
...         async for chunk in stream:
...             yield chunk
"""

from sse_fast.aio.report import Dialect, Outcome, StreamReport
from sse_fast.aio.response import UpstreamResponse
from sse_fast.aio.stream import RewriteStream
from sse_fast.aio.sync import rewrite_iter
from sse_fast.aio.tap import Tap

__all__ = ["Dialect", "Outcome", "RewriteStream", "StreamReport", "Tap", "UpstreamResponse", "rewrite_iter"]
