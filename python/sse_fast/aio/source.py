"""Where the bytes come from, and how it is closed."""

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

from sse_fast.aio.closing import unhurried


class Source:
    """An upstream: an iterator to read and what has to be closed after it.

    ``error`` is the first error of closing. Closing never raises one: whoever closes has more important news.
    """

    def __init__(self, upstream: Any, response: object = None) -> None:
        iterable = _chunks(upstream)
        self.iterator: AsyncIterator[bytes] = aiter(iterable)
        self.error: BaseException | None = None
        self._lock = asyncio.Lock()
        # The iterator, what gave it, and the response that owns both: each once, innermost first.
        owners = {id(each): each for each in (self.iterator, iterable, upstream, response)}
        self._owners = [owner for owner in owners.values() if _closer(owner) is not None]

    async def close(self) -> None:
        """Close all of it, once, to the end; who comes second waits for the first."""
        if self._lock.locked() or any(map(_is_open, self._owners)):
            await unhurried(self._close(_cancelling()))

    async def _close(self, cancels: int) -> None:
        async with self._lock:
            await self._close_each(cancels)

    async def _close_each(self, cancels: int) -> None:
        while self._owners:
            closer = _closer(self._owners.pop(0))
            try:
                closed = closer()
                if inspect.isawaitable(closed):
                    await closed
            except Exception as error:
                self.error = self.error or error
            except BaseExceptionGroup as group:
                # A task group held over a yield wraps even the GeneratorExit that closes its generator.
                _, rest = group.split(GeneratorExit)
                if rest is not None:
                    await self._close_each(cancels)
                    raise rest from None
            except BaseException as error:
                # A cancel of one step does not keep the others from their turn.
                await self._close_each(cancels)
                if not isinstance(error, asyncio.CancelledError) or _cancelling() > cancels:
                    raise
                self.error = self.error or error  # Something else was cancelled that it waited for, nobody here.


def _cancelling() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _is_open(owner: object) -> bool:
    # A generator that has returned or raised is closed.
    return not inspect.isasyncgen(owner) or owner.ag_frame is not None


def _closer(owner: object) -> Any:
    return getattr(owner, "aclose", None) or getattr(owner, "close", None)


def _chunks(upstream: Any) -> AsyncIterable[bytes]:
    """The chunks of an async iterable, an httpx or an aiohttp response, decoded by their library, or a StreamReader."""
    content = getattr(upstream, "content", None) if hasattr(upstream, "status") else upstream
    for chunks in (getattr(content, "iter_any", None), getattr(upstream, "aiter_bytes", None)):
        if chunks is not None:
            return chunks()  # type: ignore[no-any-return]
    if hasattr(upstream, "__aiter__"):
        return upstream  # type: ignore[no-any-return]
    advice = "; rewrite_iter takes what is not async" if isinstance(upstream, Iterable) else ""
    kind = type(upstream).__name__
    raise TypeError(f"source is a {kind}, no async iterable of bytes and no response of httpx or aiohttp{advice}")
