"""What differs between the APIs of language models, ready to use.

>>> from sse_fast import Rewriter, Rules
>>> from sse_fast.dialects import for_path
>>> dialect = for_path("/v1/chat/completions")
>>> rules = Rules([*dialect.rules(model="our-model", strip_cost=True), *dialect.captures()])
>>> rewriter = Rewriter(rules)
>>> rewriter.feed(b'data: {"model":"x-1","usage":{"prompt_tokens":3,"completion_tokens":4,"cost":6e-07}}\\n\\n')
b'data: {"model":"our-model","usage":{"prompt_tokens":3,"completion_tokens":4}}\\n\\n'
>>> dialect.read_usage(rewriter.captured)
Usage(input=3, output=4, total=7, cached=None, reasoning=None, cost=6e-07)
"""

import re

from sse_fast.dialects.asked import Asked, path_with_model
from sse_fast.dialects.chat_completions import chat_completions, completions
from sse_fast.dialects.dialect import Dialect
from sse_fast.dialects.failure import Failure
from sse_fast.dialects.gemini import gemini
from sse_fast.dialects.messages import messages
from sse_fast.dialects.responses import responses
from sse_fast.dialects.usage import Usage

__all__ = [
    "DIALECTS",
    "Asked",
    "Dialect",
    "Failure",
    "Usage",
    "api_for_path",
    "chat_completions",
    "completions",
    "for_path",
    "gemini",
    "get",
    "messages",
    "path_with_model",
    "responses",
]

DIALECTS = (chat_completions, messages, responses, gemini, completions)
"""All of them."""


def get(name: str) -> Dialect:
    """The dialect of this name. `KeyError` names those that there are."""
    for dialect in DIALECTS:
        if dialect.name == name:
            return dialect
    raise KeyError(f"no dialect is named {name!r}: there are {', '.join(dialect.name for dialect in DIALECTS)}")


def for_path(path: str) -> Dialect | None:
    """The dialect that a request with this path or URL speaks, None where it is none of these.

    Paths are those of OpenAI, Azure, OpenRouter, Anthropic, Google and Vertex, with any prefix.
    """
    path = _path(path)
    return next((dialect for dialect in DIALECTS if dialect.serves(path)), None)


def api_for_path(path: str) -> Dialect:
    """The dialect of the API that this path or URL belongs to, be its answers in that dialect or not: counting tokens,
    batches, files and the like have its keys and its errors. Where no other knows it, that is OpenAI's.
    """
    path = _path(path)
    found = for_path(path)
    of_api = (dialect for dialect in DIALECTS if any(re.search(pattern, path) for pattern in dialect.api_paths))
    return found or next(of_api, chat_completions)


def _path(url: str) -> str:
    # By hand: for urlsplit "//chat/completions" has a host, and "//[" is an error.
    return re.split("[?#]", re.sub("^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "", url))[0].rstrip("/")
