"""SDKs of Node.js through the gateway: OpenAI's, Anthropic's and Vercel's."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from gateway.clients import programs
from gateway.clients.scenes import IN_STREAMS, REFUSALS, THEIRS, Played, Scene, Told, check, each_scene, play

# In a stream Vercel's has no class: its error part holds what the event says.
VERCEL = dict.fromkeys(REFUSALS, "AI_APICallError") | dict.fromkeys(IN_STREAMS, "Object")


@dataclass(frozen=True, kw_only=True)
class Client:
    """A function of a module of ``tests/node``."""

    module: str
    name: str
    api: str
    errors: dict[str, str]


CLIENTS = [
    Client(module="openai", name="chat", api="chat_completions", errors=THEIRS),
    Client(module="openai", name="responses", api="responses", errors=THEIRS),
    Client(module="anthropic", name="messages", api="messages", errors=THEIRS),
    Client(module="ai", name="ai", api="chat_completions", errors=VERCEL),
]


@contextlib.asynccontextmanager
async def asked(client: Client, url: str, scenes: Sequence[Scene]) -> AsyncIterator[list[Told]]:
    """What the client makes of each scene; its process ends with the block."""
    asks = json.dumps([{"stream": scene.stream, "leaves": scene.leaves} for scene in scenes])
    process = await asyncio.create_subprocess_exec(
        *[programs.node(), "run.mjs", client.module, client.name, url, asks],
        **dict.fromkeys(["stdin", "stdout"], asyncio.subprocess.PIPE),
        cwd=programs.NODE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(40):
            lines = [await process.stdout.readline() for _ in scenes]
        yield [Told(**json.loads(line)) for line in lines]
        process.stdin.close()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # the pipes, where nobody has read them to their end


@pytest.fixture(scope="module", params=CLIENTS, ids=lambda client: f"{client.module}-{client.name}")
def played(request: pytest.FixtureRequest) -> tuple[Client, dict[str, Played]]:
    programs.node()
    return request.param, play(request.param.api, partial(asked, request.param))


@each_scene
def test_an_sdk(played: tuple[Client, dict[str, Played]], name: str) -> None:
    client, scenes = played
    check(client.api, name, scenes[name], client.errors)
