"""The upstream, a process of its own: answers each POST with the same stream, at the pace that was last told.

It reads lines of JSON on stdin, `{"streams": 20, "count": 500, "pace": 0.02}`, and answers each with a line: how many
events it has sent since the last. The first line that it writes is its port. A stream sends its first event at once and
waits with the others until all are there. A pace of 0 is as fast as it goes.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

import events

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
# Seconds between the first event of the last stream and all the others.
REST = 0.3
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Plan:
    """What streams that begin now are like."""

    pieces: Sequence[tuple[bytes, bytes]] = ()
    pace = 0.0
    missing = 0
    """How many streams have yet to begin."""
    sent = 0


def tell(streams: int, count: int, pace: float) -> int:
    sent, Plan.sent = Plan.sent, 0
    Plan.pieces, Plan.pace, Plan.missing = events.pieces(count), pace, streams
    waiting.clear()
    return sent


waiting: list["Connection"] = []


class Connection(asyncio.Protocol):
    """One connection, and the streams that it carries one after another."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.loop = asyncio.get_running_loop()
        self.received = b""
        self.is_paused = self.is_sending = False

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._begin()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_sending = False

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        self._send()

    def _begin(self) -> None:
        end = self.received.find(b"\r\n\r\n") + 4
        if self.is_sending or end < 4:
            return
        length = LENGTH.search(self.received, 0, end)
        whole = end + (int(length[1]) if length else 0)
        if len(self.received) < whole:
            return
        method, self.received = self.received[:5], self.received[whole:]
        if method != b"POST ":
            self.transport.write(NOT_FOUND)
            return
        self.rest, self.is_sending = iter(Plan.pieces), True
        self.transport.write(HEAD)
        self._write(next(self.rest))
        waiting.append(self)
        Plan.missing -= 1
        if Plan.missing == 0:
            now = self.loop.time()
            for number, connection in enumerate(waiting):
                # By the golden ratio: streams that begin together do not send together.
                connection.start(now + REST + Plan.pace * (number * 0.618034 % 1), Plan.pace)

    def start(self, at: float, pace: float) -> None:
        """Send the second event then, and so on."""
        self.due, self.pace = at, pace
        self.loop.call_at(at, self._send)

    def _send(self) -> None:
        """Send what is due, one event at a time."""
        if not self.is_sending or self.is_paused:
            return
        piece = next(self.rest, None)
        if piece is None:
            self.is_sending = False
            self.transport.write(b"0\r\n\r\n")
            self._begin()
            return
        self._write(piece)
        self.due += self.pace
        self.loop.call_at(self.due, self._send) if self.pace else self.loop.call_soon(self._send)

    def _write(self, piece: tuple[bytes, bytes]) -> None:
        event = events.stamped(piece, time.monotonic_ns())
        self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        Plan.sent += 1


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(tell(**json.loads(line)), flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
