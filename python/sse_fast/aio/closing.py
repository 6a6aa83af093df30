"""Cleaning up under cancels.

Closing an upstream takes a few turns of the loop, and more cancels may come meanwhile: a cancel scope of anyio, as
Starlette has one round each stream, cancels at every await until it is left. What is closed must not notice. Yet it has
to be closed by the task that has read it, for timeouts, cancel scopes and task groups belong to a task, so
`asyncio.shield` will not do: `unhurried` runs the closing step by step in the task itself, and holds cancels back.
"""

import asyncio
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any

GRACE = 1.0
"""How long a cancel is held back, in seconds: what takes longer to close is interrupted, and so is no trap."""


class unhurried:
    """``await unhurried(closing)`` is ``await closing``, only that a cancel that comes meanwhile is raised after it."""

    def __init__(self, closing: Coroutine[Any, Any, None]) -> None:
        self._closing = closing
        self._held: asyncio.CancelledError | None = None
        self._deadline = 0.0

    def __await__(self) -> Generator[Any, None, None]:
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        try:
            while True:
                awaited = self._closing.send(None)
                if isinstance(awaited, asyncio.Future):
                    awaited._asyncio_future_blocking = False  # as a task says that it takes care of it
                    while not awaited.done():
                        yield from self._wait(awaited)
                else:
                    try:
                        yield awaited
                    except asyncio.CancelledError as cancel:
                        self._hold(cancel)
        except StopIteration:
            pass
        finally:
            self._closing.close()
        # A timeout inside of the closing cancels the task, too, but takes that back itself.
        if self._held is not None and task is not None and task.cancelling() > before:
            raise self._held

    def _wait(self, awaited: asyncio.Future[Any]) -> Generator[Any, None, None]:
        loop = awaited.get_loop()
        timer: asyncio.TimerHandle | None = None
        if self._held is not None:
            # The message is how anyio knows its own cancels.
            interrupt = partial(awaited.cancel, *self._held.args)
            timer = loop.call_at(self._deadline, interrupt)
            if loop.time() >= self._deadline:
                interrupt()  # Who cancels at every turn of the loop would never let the timer ring.
        try:
            yield from asyncio.wait({awaited}).__await__()
        except asyncio.CancelledError as cancel:
            self._hold(cancel)
        finally:
            if timer is not None:
                timer.cancel()

    def _hold(self, cancel: asyncio.CancelledError) -> None:
        if self._held is None:
            self._deadline = asyncio.get_running_loop().time() + GRACE
        self._held = cancel
