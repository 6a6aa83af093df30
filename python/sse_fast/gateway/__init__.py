"""A reverse proxy for the APIs of language models, small enough to read and to make one's own.

One module for each thing it does: `config` is the file that it reads, `routes` what that compiles to, `request` what a
client asks, `upstream` how a server is asked, `proxy` one request from end to end, `record` what is told of it, `app`
all of it as an ASGI application and `serve` that in processes of its own. What is hard stands in the library:
`sse_fast.aio`, `sse_fast.asgi`, `sse_fast.dialects`, `sse_fast.http`.

>>> from sse_fast.gateway import create_app, load
>>> app = create_app(load("gateway.toml"))  # doctest: +SKIP
"""

try:
    from sse_fast.gateway.app import create_app
    from sse_fast.gateway.config import Config, ConfigError, load
    from sse_fast.gateway.serve import serve
except ModuleNotFoundError as error:
    if (error.name or "sse_fast").partition(".")[0] == "sse_fast":
        raise
    raise ModuleNotFoundError(
        f"the gateway needs {error.name}, which is not installed: pip install 'sse_fast[gateway]'", name=error.name
    ) from error

__all__ = ["Config", "ConfigError", "create_app", "load", "serve"]
