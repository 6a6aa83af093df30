"""The stream that the upstream sends, and what must arrive of it.

The events are those of `streams.chat`, of which both sides are known by construction. The upstream writes into the
content of each when it was sent, on the clock that all processes of a machine share.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from typing import Any, Literal

import streams

ALIAS = streams.ALIAS
MODEL = "gpt-4o-2024-08-06"
STAMP = re.compile(rb"@(\d{19})")
_CONTENT = b'"delta":{"content":"'

Expectation = Literal["bytes", "rewritten", "meaning"]
"""Of what arrives: the bytes that were sent; those that the rules make of them; what they mean, in whatever form."""


@cache
def _stream(count: int) -> streams.Stream:
    return streams.stream("chat", count)


def pieces(count: int) -> list[tuple[bytes, bytes]]:
    """Each event in two parts, between which the time goes; the second is empty where there is no place for it."""
    return [_cut(event) for event in _stream(count).events]


def _cut(event: bytes) -> tuple[bytes, bytes]:
    head, content, tail = event.partition(_CONTENT)
    return (head + content, tail) if content and b'"role"' not in tail else (event, b"")


def stamped(piece: tuple[bytes, bytes], now: int) -> bytes:
    head, tail = piece
    return b"%b@%019d%b" % (head, now, tail) if tail else head


@cache
def wanted(count: int, expectation: Expectation) -> tuple[int, str]:
    """How many events must arrive, and the digest of all."""
    stream = _stream(count)
    events = stream.expected if expectation == "rewritten" else stream.events
    return len(events), digest(b"".join(events), expectation)


def digest(body: bytes, expectation: Expectation) -> str:
    """The same for two bodies exactly where they are the same to a client that expects this of them."""
    body = STAMP.sub(b"", body)
    return sha256(body if expectation != "meaning" else repr(list(meaning(body))).encode()).hexdigest()


def meaning(body: bytes) -> Iterator[Any]:
    """What a client reads: each content, the reason to finish, the count of tokens, the end."""
    for event in body.split(b"\n\n"):
        text = event.removeprefix(b"data: ").strip()
        if text == b"[DONE]":
            yield "done"
        elif text and not text.startswith(b":"):
            yield from _meaning(json.loads(text))


def _meaning(event: Any) -> Iterator[Any]:
    if "error" in event:
        yield "error", event["error"]
    for choice in event.get("choices", ()):
        if content := choice["delta"].get("content"):
            yield "content", content
        if reason := choice.get("finish_reason"):
            yield "finish", reason
    if usage := event.get("usage"):
        yield "usage", usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]
