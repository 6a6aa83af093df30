"""Where the bytes come from, and how it is closed."""

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any

# The loop keeps tasks only weakly.
_closing: set[asyncio.Task[None]] = set()


class Source:
    """An upstream: an iterator to read and what has to be closed after it.

    ``error`` is the first error of closing. Closing never raises one: whoever closes has more important news.
    """

    def __init__(self, upstream: Any, response: object = None) -> None:
        iterable = _chunks(upstream)
        self.iterator: AsyncIterator[bytes] = aiter(iterable)
        self.error: Exception | None = None
        # The iterator, what gave it, and the response that owns both: each once, innermost first.
        owners = {id(each): each for each in (self.iterator, iterable, upstream, response)}
        self._owners = [owner for owner in owners.values() if _closer(owner) is not None]
        self._task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Close all of it, once. Whoever is cancelled here stops waiting; closing itself goes on."""
        if self._task is None and any(map(_is_open, self._owners)):
            self._task = asyncio.create_task(self._close())
            _closing.add(self._task)
            self._task.add_done_callback(_closing.discard)
        if self._task is not None:
            await asyncio.shield(self._task)

    def when_closed(self, call: Callable[[], object]) -> None:
        """Call it now, or as soon as closing ends that goes on without anyone waiting."""
        if self._task is None or self._task.done():
            call()
        else:
            self._task.add_done_callback(lambda _: call())

    async def _close(self) -> None:
        while self._owners:
            closer = _closer(self._owners.pop(0))
            try:
                closed = closer()
                if inspect.isawaitable(closed):
                    await closed
            except Exception as error:
                self.error = self.error or error
            except BaseException:
                # The loop is ending: a cancel of one step does not keep the others from their turn.
                await self._close()
                raise


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
    raise TypeError(
        f"source is a {kind}, neither an async iterable of bytes nor a response of httpx or aiohttp{advice}"
    )
