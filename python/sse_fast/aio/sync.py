"""The same for synchronous code."""

from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, Self

from sse_fast.aio.passage import Feedable, Passage
from sse_fast.aio.report import Dialect, StreamReport


def rewrite_iter(
    source: Iterable[bytes],
    rewriter: Feedable,
    *,
    dialect: Dialect | Any = None,
    errors: Literal["raise", "event"] = "raise",
    on_end: Callable[[StreamReport], object] | None = None,
) -> "RewriteIterator":
    """Rewrite what ``source`` gives, as `RewriteStream` does for asynchronous code.

    ``rewriter``, ``errors``, ``dialect`` and ``on_end`` are those of `RewriteStream`. The source is closed
    (``close`` of the iterator and of the iterable, once) at the end, by ``close`` or by leaving ``with``.
    """
    return RewriteIterator(source, Passage(rewriter, dialect=dialect, errors=errors, on_end=on_end))


class RewriteIterator:
    """What `rewrite_iter` gives: an iterator of non-empty bytes."""

    def __init__(self, source: Iterable[bytes], passage: Passage) -> None:
        iterator = iter(source)
        # The iterator and what gave it: each once, innermost first.
        owners = {id(each): each for each in (iterator, source)}
        self._closers = [owner.close for owner in owners.values() if hasattr(owner, "close")]
        self._close_error: Exception | None = None
        self._passage = passage
        self._outputs = self._read(iterator)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._outputs)

    def close(self) -> None:
        """Close the source and conclude, where that has not happened."""
        self._outputs.close()
        self._end()

    @property
    def report(self) -> StreamReport:
        """What is known so far; final once it is closed."""
        return self._passage.report

    def _read(self, iterator: Iterator[bytes]) -> Generator[bytes, None, None]:
        passage = self._passage
        try:
            try:
                for chunk in iterator:
                    if output := passage.rewrite(chunk):
                        yield output
                if output := passage.finish():
                    yield output
            except Exception as error:
                self._close_source()
                if output := passage.salvage(error):
                    yield output
                if output := passage.fail(error):
                    yield output
                if passage.raises:
                    raise
            passage.complete()
        finally:
            self._end()

    def _end(self) -> None:
        try:
            self._close_source()
        finally:
            self._passage.conclude(self._close_error)

    def _close_source(self) -> None:
        while self._closers:
            try:
                self._closers.pop(0)()
            except Exception as error:
                self._close_error = self._close_error or error
            except BaseException:
                # Ctrl-C in one does not keep the others from their turn.
                self._close_source()
                raise
