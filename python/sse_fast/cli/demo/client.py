"""A client of the gateway."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession

from sse_fast import Event, Parser
from sse_fast.cli.demo.timeline import Timeline


@dataclass(frozen=True)
class Answer:
    """What it got."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    came: Timeline
    first_byte: float
    """Seconds since it asked; 0 for an empty body."""


async def ask(session: ClientSession, url: str, request: Any, on_event: Callable[[Event], None]) -> Answer:
    """Ask, and show each event to `on_event` as soon as it is there."""
    parser, body, came = Parser(), bytearray(), Timeline()
    start = time.perf_counter()
    async with session.post(url, json=request, headers={"authorization": "Bearer none"}) as response:
        async for chunk in response.content.iter_any():
            came.add(len(chunk), time.perf_counter())
            body += chunk
            for event in parser.feed(chunk):
                on_event(event)
    first_byte = came.when(1) - start if came else 0.0
    return Answer(response.status, response.headers, bytes(body), came, first_byte)
