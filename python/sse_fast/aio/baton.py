"""Two tasks take turns without a round through the event loop.

Waking a task through a future costs a turn of the loop, 1 to 2 us, and a chunk would cost two of them. A `Baton` wakes
the task that waits for it at once, inside the task that passes it on: its step is run where it stands, under its own
name and context, as the loop would have run it a little later. A task takes anything for a future that behaves like
one (``_asyncio_future_blocking``); who runs a task's step says so by ``_leave_task`` and ``_enter_task`` (Python's
documentation, "Extending asyncio").
"""

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any


class Baton:
    """What one task waits for, with ``await``, and another passes on."""

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_loop", "_wake")

    def __init__(self) -> None:
        self._asyncio_future_blocking = False
        self._loop = asyncio.get_running_loop()
        self._wake: Callable[[Any], object] | None = None
        self._context: Context
        self._cancelled: asyncio.CancelledError | None = None

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self

    @property
    def is_awaited(self) -> bool:
        """A task waits."""
        return self._wake is not None

    def pass_on(self, task: asyncio.Task[Any] | None) -> None:
        """Run the task that waits, if one does, until it waits again; ``task`` is the one that runs now."""
        wake = self._wake
        if wake is None:
            return
        self._wake = None
        if task is None:
            self._context.run(wake, self)
            return
        _leave_task(self._loop, task)
        try:
            self._context.run(wake, self)
        finally:
            _enter_task(self._loop, task)

    # What a task asks of a future.

    def add_done_callback(self, wake: Callable[[Any], object], *, context: Context) -> None:
        """Wait."""
        self._wake = wake
        self._context = context

    def cancel(self, msg: object = None) -> bool:
        """Wake the task with ``CancelledError``, through the loop as a future does."""
        wake, self._wake = self._wake, None
        if wake is None:
            return False
        # The message is how anyio knows its own cancels.
        self._cancelled = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self._loop.call_soon(wake, self, context=self._context)
        return True

    def result(self) -> None:
        """What the task wakes to."""
        cancelled, self._cancelled = self._cancelled, None
        if cancelled is not None:
            raise cancelled
