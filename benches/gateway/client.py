"""The client, a process of its own: opens streams, keeps what comes and when, looks at it when all is over.

It reads jobs on stdin, a line of JSON each, as `Job` says, and answers each with three lines: `open`, as soon as every
stream has begun, `over`, as soon as every stream has ended, and what came of it, as `Outcome` says.
"""

import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import events

LAST = b"\r\n0\r\n\r\n"
# Seconds for a job.
TIMEOUT = 300


@dataclass(frozen=True, kw_only=True)
class Job:
    port: int
    path: str
    key: str
    streams: int
    count: int
    expectation: events.Expectation


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Times in nanoseconds."""

    chunks: int
    seconds: float
    """From `open` to `over`."""
    first: float
    """From the request to the first byte of the body, median."""
    p50: float
    p99: float
    """From the upstream to here, of all events but each stream's first."""
    problems: list[str]

    @classmethod
    def read(cls, line: str) -> "Outcome":
        """From the client's second line."""
        return cls(**json.loads(line))


class Stream(asyncio.Protocol):
    """One request on a connection of its own."""

    def __init__(self, request: bytes, begun: asyncio.Semaphore) -> None:
        self.request = request
        self.begun = begun
        self.reads: list[tuple[int, bytes]] = []
        self.tail = b""
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.asked = time.monotonic_ns()
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.reads:
            self.begun.release()
        self.reads.append((time.monotonic_ns(), data))
        self.tail = self.tail[-7:] + data[-7:]
        if self.tail.endswith(LAST):
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.reads:
            self.begun.release()
        if not self.over.done():
            self.over.set_result(None)


class Reading:
    """What a stream has brought, taken apart."""

    def __init__(self, reads: Sequence[tuple[int, bytes]]) -> None:
        self.problem = ""
        self.first = 0
        self.latencies: list[int] = []
        self.body = b""
        if not reads:
            self.problem = "no answer"
            return
        head = b"".join(data for _, data in reads).partition(b"\r\n")[0]
        if b" 200 " not in head:
            self.problem = head.decode("latin-1")
            return
        for at, chunk in self._chunks(reads):
            self.first = self.first or at
            self.body += chunk
            self.latencies += (at - int(stamp) for stamp in events.STAMP.findall(chunk))

    def _chunks(self, reads: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """The chunks of the body, each with the time at which it was whole."""
        buffer, is_body = bytearray(), False
        for at, data in reads:
            buffer += data
            while (line := buffer.find(b"\r\n" if is_body else b"\r\n\r\n")) >= 0:
                if not is_body:
                    is_body = True
                    del buffer[: line + 4]
                    continue
                size = int(buffer[:line], 16)
                if len(buffer) < line + size + 4:
                    break
                if size == 0:
                    return
                yield at, bytes(buffer[line + 2 : line + 2 + size])
                del buffer[: line + size + 4]
        self.problem = "the connection ended before the body"


def outcome(job: Job, streams: Sequence[Stream], seconds: float) -> Outcome:
    problems, firsts, latencies = [], [], []
    count, digest = events.wanted(job.count, job.expectation)
    chunks = 0
    for number, stream in enumerate(streams):
        reading = Reading(stream.reads)
        got = reading.body.count(b"\n\n")
        chunks += got
        problem = reading.problem
        if not problem and got != count:
            problem = f"{got} events of {count}"
        if not problem and events.digest(reading.body, job.expectation) != digest:
            problem = "as many events as there should be, but not those"
        if problem:
            problems.append(f"stream {number}: {problem}")
        firsts.append(reading.first - stream.asked)
        latencies += reading.latencies
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else [0.0] * 99
    return Outcome(
        chunks=chunks,
        seconds=seconds,
        first=statistics.median(firsts),
        p50=cuts[49],
        p99=cuts[98],
        problems=problems,
    )


async def run(job: Job) -> Outcome:
    loop = asyncio.get_running_loop()
    asked = {"model": events.ALIAS, "stream": True, "stream_options": {"include_usage": True}}
    body = json.dumps({**asked, "messages": [{"role": "user", "content": "Tell me about streams."}]}).encode()
    head = f"POST {job.path} HTTP/1.1\r\nhost: 127.0.0.1:{job.port}\r\ncontent-type: application/json\r\n"
    head += f"authorization: Bearer {job.key}\r\ncontent-length: {len(body)}\r\n\r\n"
    begun = asyncio.Semaphore(0)
    streams = [Stream(head.encode() + body, begun) for _ in range(job.streams)]
    waiting = iter(streams)
    for _ in streams:
        await loop.create_connection(lambda: next(waiting), "127.0.0.1", job.port)
    until = loop.time() + TIMEOUT
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            for _ in streams:
                await begun.acquire()
    print("open", flush=True)
    opened = loop.time()
    await asyncio.wait([stream.over for stream in streams], timeout=until - opened)
    seconds = loop.time() - opened
    print("over", flush=True)
    for stream in streams:
        stream.transport.abort()
    return outcome(job, streams, seconds)


async def main() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(asdict(await run(Job(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
