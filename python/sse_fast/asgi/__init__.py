"""Event streams in ASGI applications; needs Starlette (FastAPI brings it).

`EventStreamResponse` answers with a stream that is rewritten already; `RewriteMiddleware` rewrites what an application
answers, event streams and, with rules of their own, JSON bodies.
"""

try:
    import starlette  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("sse_fast.asgi needs starlette: pip install starlette", name="starlette") from error

from sse_fast.asgi.middleware import RewriteMiddleware
from sse_fast.asgi.response import EventStreamResponse

__all__ = ["EventStreamResponse", "RewriteMiddleware"]
