"""Signals, of which a server tells its application nothing."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_ENDS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def hearing(hear: Callable[[int], bool]) -> Iterator[None]:
    """Call ``hear`` in this loop for each SIGINT and SIGTERM that the server hears, for as long as the block, which is
    that of a lifespan. Where it returns true, the server is told, too; that is what ends it.

    It is for servers that hear by `signal.signal`, as uvicorn does. Outside of the main thread nobody hears of signals,
    and where the server has no handlers, nobody else does.
    """
    loop = asyncio.get_running_loop()
    theirs: dict[int, Any] = {}

    def told(number: int, frame: FrameType | None) -> None:
        if hear(number):
            theirs[number](number, frame)

    def caught(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(told, number, frame)

    if threading.current_thread() is threading.main_thread():
        for number in _ENDS:
            if callable(signal.getsignal(number)):
                theirs[number] = signal.signal(number, caught)
    try:
        yield
    finally:
        for each, handler in theirs.items():
            signal.signal(each, handler)
