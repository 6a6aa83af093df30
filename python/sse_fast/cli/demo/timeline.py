"""When the bytes of a stream were sent, or came."""

from bisect import bisect_left


class Timeline:
    """Grows with each chunk."""

    def __init__(self) -> None:
        self._offsets: list[int] = []
        self._times: list[float] = []

    def __len__(self) -> int:
        """How many chunks."""
        return len(self._offsets)

    def add(self, size: int, time: float) -> None:
        """A chunk of so many bytes."""
        self._offsets.append(size + (self._offsets[-1] if self._offsets else 0))
        self._times.append(time)

    def when(self, offset: int) -> float:
        """The time of the chunk that completes this many bytes."""
        return self._times[min(bisect_left(self._offsets, offset), len(self._times) - 1)]
