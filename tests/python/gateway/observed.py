"""``sse-fast gateway`` in a process of its own, seen from outside: its records, its memory, its descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from live.client import Client

from gateway.running import Process, process

PATIENCE = 20.0
"""Seconds for what takes long on a busy machine; no measure of anything."""


class Observed:
    """A running gateway; ``records`` is all that it has told on stdout."""

    def __init__(self, gateway: Process, workers: int) -> None:
        self._number = workers
        self.port = int(gateway.url.rpartition(":")[2])
        self.gateway = gateway
        self.records: list[dict[str, Any]] = []
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        stdout = self.gateway.process.stdout
        assert stdout is not None
        while line := await stdout.readline():
            self.records.append(json.loads(line))

    @property
    def workers(self) -> list[int]:
        """The processes that serve: its children, else itself."""
        pid = self.gateway.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        serving = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return serving or [pid]

    def is_ready(self) -> bool:
        """All that serve would hear a SIGTERM."""
        return len(self.workers) == self._number and all(_catches(pid, signal.SIGTERM) for pid in self.workers)

    def memory(self) -> int:
        """Resident bytes, of all that serve."""
        return sum(_status(pid, "VmRSS") for pid in self.workers)

    @contextlib.contextmanager
    def growth_below(self, limit: int) -> Any:
        """At no time in this block may it hold so many more bytes than before."""
        before = self.memory()
        for pid in self.workers:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # forgets the peak
        yield
        growth = sum(_status(pid, "VmHWM") for pid in self.workers) - before
        assert growth < limit, f"{growth >> 20} MiB"

    def descriptors(self) -> int:
        """Open files and sockets."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.workers)

    async def told(self, count: int) -> list[dict[str, Any]]:
        """The records, once there are so many."""
        await until(lambda: len(self.records) >= count, lambda: f"{len(self.records)} of {count} records")
        return self.records

    def signal(self, number: int) -> None:
        self.gateway.terminate(number)

    async def ended(self) -> int:
        """Its exit code; all records are there then."""
        async with asyncio.timeout(PATIENCE):
            code = await self.gateway.ended()
            await self.reading
        return code


@contextlib.asynccontextmanager
async def observed(
    directory: Path, *routes: Mapping[str, Any], environment: Mapping[str, str] | None = None, **settings: Any
) -> AsyncIterator[Observed]:
    """Run it with these routes and settings. It has told of no request twice and has no complaints, afterwards."""
    settings = {"listen": "127.0.0.1:0", "shutdown_grace": 1.0, **settings, "routes": list(routes)}
    file = directory / "gateway.toml"
    file.write_text("".join(f"{name} = {toml(value)}\n" for name, value in settings.items()))
    async with process(file, **(environment or {})) as gateway:
        it = Observed(gateway, int(settings.get("workers", 1)))
        try:
            await until(it.is_ready)
            yield it
            if gateway.process.returncode is None:
                gateway.terminate()
                assert await it.ended() == 0
        finally:
            it.reading.cancel()
            await asyncio.wait({it.reading})
    ids = [record["id"] for record in it.records]
    assert len(ids) == len(set(ids))
    assert gateway.errors == b"", gateway.errors.decode()


def toml(value: Any) -> str:
    """A value, in one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(name)} = {toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def route(path: str, *urls: str, **settings: Any) -> dict[str, Any]:
    """A route over these upstreams."""
    return {"path": path, "upstreams": [{"url": url} for url in urls], **settings}


async def until(condition: Callable[[], object], note: Callable[[], object] = lambda: "") -> None:
    """Wait until it holds."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(note()) from None


class Post(Client):
    """A client that sends JSON, or these bytes."""

    def __init__(
        self,
        port: int,
        path: str,
        content: Any,
        *,
        headers: str = "",
        kind: str = "application/json",
        receive_buffer: int | None = None,
    ) -> None:
        super().__init__(port, path, receive_buffer=receive_buffer)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
        self._request = f"{head}{headers}\r\n".encode() + body


def _status(pid: int, name: str) -> int:
    """Of this kind of memory, in bytes."""
    return int(_field(pid, name)) << 10


def _catches(pid: int, number: int) -> bool:
    return bool(int(_field(pid, "SigCgt"), 16) >> (number - 1) & 1)


def _field(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(name))
