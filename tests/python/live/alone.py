"""The gateway in a process of its own, whose memory can be measured.

``python -m live.alone UPSTREAM LIBRARY``: serves the plans of `PLANS` until its standard input ends; prints its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import sse_fast

from live.gateway import Gateway
from live.servers import uvicorn

PLANS: dict[str, dict[str, Any]] = {
    "/plain": {},
    "/heartbeat": {"heartbeat": 3600, "idle_timeout": 3600},
    "/tapped": {"prepare": lambda stream: [stream.tap(side, 1 << 16) for side in ("upstream", "client")]},
}
ROOTS = [Path(__file__).parents[1], Path(sse_fast.__file__).parents[1]]


class Process:
    """A running gateway."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._of_kernel = Path(f"/proc/{process.pid}")

    def memory(self) -> int:
        """Resident bytes."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """The most resident bytes since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        (self._of_kernel / "clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        lines = (self._of_kernel / "status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))


@contextlib.asynccontextmanager
async def gateway_process(upstream: str, library: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "live.alone", upstream, library],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ROOTS))},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Process(process, int(await process.stdout.readline()))
        process.stdin.close()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # the pipes, where nobody has read them to their end


async def main(upstream: str, library: str) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Gateway(upstream, library) as gateway:
        for path, plan in PLANS.items():
            gateway.plan(path, **plan)
        async with uvicorn(gateway.app) as port:
            print(port, flush=True)
            await reader.read()


if __name__ == "__main__":
    # Without blockbuster: what it leaves in io's types crashes the interpreter at its end.
    asyncio.run(main(*sys.argv[1:]))
