"""A copy of the bytes for logs and metrics."""

import asyncio


class Tap:
    """What passes one side of a stream, copied for a reader who never disturbs it.

    Iterate over it for the bytes as they come, joined where they came faster than they were read; or `read` them all at
    the end. At most ``max_bytes`` wait to be read: when more would, the tap keeps what fits, says ``truncated`` and
    takes no more. It ends with the stream, however that ends, and never raises for it; `RewriteStream.report` tells.
    """

    truncated: bool
    """More bytes passed than could be kept."""

    def __init__(self, max_bytes: int = 1 << 20) -> None:
        if max_bytes < 0:
            raise ValueError(f"max_bytes must not be negative: {max_bytes}")
        self.truncated = False
        self._room = max_bytes
        self._unread = bytearray()
        self._open = True
        self._change = asyncio.Event()

    def push(self, data: bytes) -> None:
        """Take a copy; called by the stream."""
        if not self._open:
            return
        room = self._room - len(self._unread)
        if len(data) <= room:
            self._unread += data
        else:
            self._unread += data[:room]
            self.truncated = True
            self._open = False
        self._change.set()

    def end(self) -> None:
        """Take no more; called by the stream when it is over."""
        self._open = False
        self._change.set()

    def close(self) -> None:
        """Stop here and let go of what is unread, for a reader who has seen enough."""
        self.end()
        self._unread = bytearray()

    def __aiter__(self) -> "Tap":
        return self

    async def __anext__(self) -> bytes:
        """The bytes since the last call, waiting for the first; what was cut off at the bound is not waited for."""
        while not self._unread:
            if not self._open:
                raise StopAsyncIteration
            self._change.clear()
            await self._change.wait()
        unread, self._unread = self._unread, bytearray()
        return bytes(unread)

    async def read(self) -> bytes:
        """All bytes, when the stream is over: at most ``max_bytes``, without those that iteration gave before."""
        while self._open:
            self._change.clear()
            await self._change.wait()
        unread, self._unread = self._unread, bytearray()
        return bytes(unread)
