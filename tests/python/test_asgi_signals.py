"""Signals that an application hears beside its server."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

import pytest
from sse_fast.asgi.signals import hearing


@pytest.fixture
def heard() -> Any:
    """What a server hears."""
    told: list[int] = []
    before = {number: signal.signal(number, lambda number, _: told.append(number)) for number in (2, 15)}
    yield told
    for number, handler in before.items():
        signal.signal(number, handler)


async def until(heard: list[int], count: int) -> None:
    async with asyncio.timeout(10):
        while len(heard) < count:
            await asyncio.sleep(0.001)


def test_both_hear_and_the_application_decides(heard: list[int]) -> None:
    mine: list[int] = []

    def hear(number: int) -> bool:
        asyncio.get_running_loop()  # it is called in the loop
        mine.append(number)
        return len(mine) != 2

    async def scenario() -> None:
        with hearing(hear):
            for count, number in enumerate((signal.SIGTERM, signal.SIGINT, signal.SIGINT), 1):
                os.kill(os.getpid(), number)
                await until(mine, count)
        assert (mine, heard) == ([15, 2, 2], [15, 2])
        os.kill(os.getpid(), signal.SIGTERM)
        await until(heard, 3)
        assert len(mine) == 3

    asyncio.run(scenario())


def test_elsewhere_nobody_hears(heard: list[int]) -> None:
    async def scenario() -> None:
        with hearing(lambda number: False):
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=asyncio.run, args=(scenario(),))
    thread.start()
    thread.join()
    assert heard == [15]
