"""The requests that every client makes, and what it must make of the answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest
import support
from dialect_streams import block, crlf, named
from live.watch import SOON, run

from gateway.clients.said import BODY, STREAM, USED, Said
from gateway.running import config, records, serving
from gateway.upstream import BROKEN, Reply, Seen, Upstream, json_reply

TEXT = Said(texts=("naïve 😀", " 漢字\n\n", ' {"model":"x-1","cost":1}'))
"""What stands in an answer is not the gateway's, whatever it looks like."""
TOOLS = Said(tools=(("get_weather", {"city": "Zürich", "model": "x-1"}), ("get_weather", {"city": "São Paulo"})))
THOUGHTS = Said(thoughts=("Hmm 🤔,", " let me see"), texts=TEXT.texts)
ALL = Said(THOUGHTS.thoughts, TEXT.texts, TOOLS.tools)
NOTHING = Said()
BEGUN = Said(texts=TEXT.texts[:1])

NO_CAPACITY = {
    "chat_completions": block({"error": {"message": "no capacity", "type": "server_error", "code": 503}}),
    "messages": named({"type": "error", "error": {"type": "overloaded_error", "message": "no capacity"}}),
    "responses": named({"type": "error", "error": {"code": "server_error", "message": "no capacity"}}),
    "gemini": crlf({"error": {"code": 503, "message": "no capacity", "status": "UNAVAILABLE"}}),
}
REFUSED = {"type": "error", "error": {"type": "x", "message": "not so fast", "code": 429, "status": "S"}}
UPSTREAM_FAILED = "the upstream failed before its answer was complete"


@dataclass(frozen=True)
class Scene:
    """One request: how the upstream answers it, and what a client must understand."""

    reply: Reply
    said: Said = NOTHING
    stream: bool = True
    leaves: bool = False
    """With the first piece of text, the client closes."""
    error: str | None = None
    """What the message of the error must hold."""
    status: int = 200
    outcome: str = "completed"
    """In the gateway's record."""


def _begun(api: str) -> tuple[bytes, bytes]:
    """A stream of text up to its first piece, and the event after that."""
    events = STREAM[api](TEXT)
    at = next(index for index, event in enumerate(events) if TEXT.texts[0].encode() in event) + 1
    return b"".join(events[:at]), events[at]


def _streamed(api: str, said: Said) -> Reply:
    """In awkward chunks, with a silence in which the gateway keeps the stream alive."""
    chunks = [*filter(None, support.random_cuts(b"".join(STREAM[api](said)), len(api)))]
    return Reply(chunks=[*chunks[:-3], 0.15, *chunks[-3:]])


def scenes(api: str) -> dict[str, Scene]:
    begun, event = _begun(api)
    half, broken = event[: len(event) // 2], {"error": UPSTREAM_FAILED, "outcome": "upstream_error"}
    refused = {"error": "not so fast"}
    return {
        "text": Scene(_streamed(api, TEXT), TEXT),
        "tools": Scene(_streamed(api, TOOLS), TOOLS),
        "thoughts": Scene(_streamed(api, THOUGHTS), THOUGHTS),
        "a body": Scene(json_reply(BODY[api](ALL)), ALL, stream=False),
        "an error event": Scene(
            Reply(chunks=[begun, 0.05, NO_CAPACITY[api]]), BEGUN, error="no capacity", outcome="upstream_error"
        ),
        "a broken stream": Scene(Reply(chunks=[begun, 0.05, half, 0.05], end="rst"), BEGUN, **broken),
        "a stream that ends early": Scene(
            Reply(chunks=[begun, 0.05]), BEGUN, error="the upstream ended before", outcome="truncated"
        ),
        "429": Scene(json_reply(REFUSED, status=429, headers=[("retry-after", "7")]), status=429, **refused),
        "400": Scene(json_reply(REFUSED, status=400), stream=False, status=400, **refused),
        "no answer": Scene(BROKEN, status=502, **broken),
        "leaving": Scene(Reply(chunks=[begun], end="hang"), BEGUN, leaves=True, outcome="cancelled"),
    }


@dataclass
class Told:
    """What a client made of an answer; ``text`` and what follows only where it came to an end."""

    pieces: list[str] = field(default_factory=list)
    text: str = ""
    thoughts: str = ""
    tools: list[list[Any]] = field(default_factory=list)
    model: str | None = None
    usage: list[int] | None = None
    error: dict[str, Any] | None = None
    """``names`` of its class and those above it, ``status``, ``message``."""


@dataclass(frozen=True)
class Played:
    """One scene as it went."""

    told: Told
    seen: Seen
    gone: bool
    """The upstream's connection was closed while the client lived on: asked where it left."""
    record: dict[str, Any]


Ask = Callable[[str, Sequence[Scene]], AbstractAsyncContextManager[list[Told]]]
"""Makes the requests, one after another; the client stays open for the block."""


def play(api: str, ask: Ask) -> dict[str, Played]:
    """All scenes of an API, one after another, with one client."""
    return run(_play(scenes(api), ask), seconds=60)


async def _play(all_scenes: dict[str, Scene], ask: Ask) -> dict[str, Played]:
    stage = list(all_scenes.values())
    route = {"models": {"fast": "x-1"}, "heartbeat": 0.03, "strip_cost": True}
    async with Upstream() as upstream:
        upstream.will(*(scene.reply for scene in stage))
        with records() as lines:
            async with serving(config(upstream.url, route=route)) as url, ask(url, stage) as told:
                assert len(upstream.seen) == len(stage), told
                gone = [
                    scene.leaves and await happens(seen.gone.is_set)
                    for scene, seen in zip(stage, upstream.seen, strict=True)
                ]
                await lines.of(len(stage))
    of = {line["id"]: line for line in lines}
    ids = [seen.values("x-request-id")[0] for seen in upstream.seen]
    went = zip(told, upstream.seen, gone, [of[each] for each in ids], strict=True)
    return dict(zip(all_scenes, [Played(*each) for each in went], strict=True))


async def happens(condition: Callable[[], bool], seconds: float = SOON) -> bool:
    """Whether it does, within a generous bound."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)
    return condition()


each_scene = pytest.mark.parametrize("name", list(scenes("chat_completions")))
REFUSALS = ("429", "400", "no answer")
IN_STREAMS = ("an error event", "a broken stream", "a stream that ends early")
# Of OpenAI's and Anthropic's SDKs, for Python and for Node.js.
THEIRS = dict(zip(REFUSALS, ("RateLimitError", "BadRequestError", "InternalServerError"), strict=True))
THEIRS |= dict.fromkeys(IN_STREAMS, "APIError")


def check(api: str, name: str, played: Played, errors: dict[str, str]) -> None:
    """``errors`` are the classes of the client's errors, by the scene's name."""
    scene, told, record = scenes(api)[name], played.told, played.record
    assert record["dialect"] == api
    assert (record["model"], record["status"], record["outcome"]) == ("fast", scene.status, scene.outcome)
    asked = played.seen.json.get("model") or played.seen.target
    assert "fast" not in asked
    assert "x-1" in asked
    if scene.stream:
        assert "".join(told.pieces) == scene.said.text
    if scene.error is not None:
        assert told.error is not None
        assert errors[name] in told.error["names"]
        assert scene.error in told.error["message"]
        assert scene.status == 200 or told.error["status"] == scene.status
        return
    assert told.error is None
    if scene.leaves:
        assert played.gone
        return
    assert (told.text, told.model, told.usage) == (scene.said.text, "fast", USED[api])
    assert told.tools == [list(tool) for tool in scene.said.tools]
    assert told.thoughts == scene.said.thought
    assert record["upstream_model"] == "x-1"
    assert record["usage"]["output"] >= told.usage[1]
