"""What stands between upstream and client: processes of their own on loopback ports, seen through the kernel."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import events

HERE = Path(__file__).parent
LITELLM = HERE.parents[1] / ".venv-litellm/bin/litellm"
LITELLM_NAME = "LiteLLM"
PATIENCE = 180
CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Place:
    """Where a proxy is set up."""

    port: int
    upstream: str
    directory: Path
    key: str = field(default_factory=lambda: f"sk-{secrets.token_hex(32)}")

    def write(self, name: str, text: str) -> str:
        """A file for this proxy alone."""
        file = self.directory / f"{self.port}-{name}"
        file.write_text(text)
        return str(file)


Command = tuple[list[str], dict[str, str]]


@dataclass(frozen=True)
class Proxy:
    """A contender. ``command`` gives arguments and environment; `None` is no proxy at all."""

    name: str
    command: Callable[[Place], Command] | None
    expectation: events.Expectation = "bytes"
    path: str = CHAT


def _gateway(route: str) -> Callable[[Place], Command]:
    def command(place: Place) -> Command:
        text = f'listen = "127.0.0.1:{place.port}"\n[[routes]]\npath = "/"\n{route}\n'
        file = place.write("gateway.toml", f'{text}[[routes.upstreams]]\nurl = "{place.upstream}"\n')
        return [sys.executable, "-m", "sse_fast", "gateway", "--config", file], {}

    return command


REWRITING = f"""models = {{ {events.ALIAS} = "{events.MODEL}" }}
strip_cost = true
repair = true
heartbeat = 15.0"""


def _nginx(place: Place) -> Command:
    text = f"""daemon off; master_process off; error_log stderr error; pid {place.directory}/{place.port}.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  server {{
    listen 127.0.0.1:{place.port} backlog=4096;
    location / {{ proxy_pass {place.upstream}; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 300s; }}
  }}
}}
"""
    return ["nginx", "-p", str(place.directory), "-c", place.write("nginx.conf", text)], {}


def _litellm(program: Path) -> Callable[[Place], Command]:
    def command(place: Place) -> Command:
        # As its documentation has it, with the list of prices that it ships with.
        environment = {
            "BENCH_UPSTREAM": f"{place.upstream}/v1",
            "LITELLM_MASTER_KEY": place.key,
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            # Else it asks one upstream for 500 streams at a time and lets the others wait; 0 means 100.
            "AIOHTTP_CONNECTOR_LIMIT": "100000",
            "AIOHTTP_CONNECTOR_LIMIT_PER_HOST": "100000",
        }
        where = ["--host", "127.0.0.1", "--port", str(place.port), "--num_workers", "1"]
        return [str(program), *where, "--config", str(HERE / "litellm.yaml")], environment

    return command


def bare(name: str, *options: str) -> Proxy:
    """`bare.py` with these options."""

    def command(place: Place) -> Command:
        where = ["--port", str(place.port), "--upstream", place.upstream + CHAT]
        return [sys.executable, str(HERE / "bare.py"), *where, *options], {}

    return Proxy(name, command)


DIRECT = Proxy("no proxy", None)
PLAIN = Proxy("gateway, no rules", _gateway(""))
# What differs between two of the same is chance.
AGAIN = replace(PLAIN, name="gateway, no rules, again")
REWRITES = Proxy("gateway, rewriting", _gateway(REWRITING), "rewritten")
# An event stream on a path that no dialect has: nothing of it is looked for.
NO_DIALECT = Proxy("gateway, no dialect", _gateway(""), path="/stream")
NGINX = Proxy("nginx", _nginx)
BARE = bare("uvicorn and aiohttp alone")
PARTS = [
    BARE,
    bare("httpx in place of aiohttp", "--client", "httpx"),
    bare("httpx2 in place of aiohttp", "--client", "httpx2"),
    bare("h11 in place of httptools", "--http", "h11"),
    bare("asyncio in place of uvloop", "--loop", "asyncio"),
]


def litellm(program: Path) -> Proxy:
    return Proxy(LITELLM_NAME, _litellm(program), "meaning")


def has_nginx() -> bool:
    return shutil.which("nginx") is not None


class Running:
    """A proxy at work, or the upstream in its place."""

    def __init__(self, proxy: Proxy, process: subprocess.Popen[Any] | None, port: int, key: str) -> None:
        self.proxy = proxy
        self.process = process
        self.port = port
        self.key = key

    def processor(self) -> int:
        """The nanoseconds that it has run for, on any processor: that of its process and those below."""
        # What clock_getcpuclockid(3) gives for a process.
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in self._processes())

    def memory(self) -> int:
        """The bytes that are resident."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._processes())
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _processes(self) -> list[int]:
        if self.process is None:
            return []
        found = [self.process.pid]
        for pid in found:
            children = Path(f"/proc/{pid}/task/{pid}/children")
            found += map(int, children.read_text().split())
        return found


@contextlib.contextmanager
def running(proxies: Sequence[Proxy], upstream: int, directory: Path) -> Iterator[list[Running]]:
    """All of them, on ports of their own, as soon as they answer."""
    with contextlib.ExitStack() as stack:
        found = [_start(proxy, upstream, directory, stack) for proxy in proxies]
        for each in found:
            _wait(each, directory)
        yield found


def _start(proxy: Proxy, upstream: int, directory: Path, stack: contextlib.ExitStack) -> Running:
    if proxy.command is None:
        return Running(proxy, None, upstream, "")
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = Place(free.getsockname()[1], f"http://127.0.0.1:{upstream}", directory)
    command, environment = proxy.command(place)
    log = stack.enter_context(_log(directory, proxy).open("wb"))
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=log, cwd=directory
    )
    stack.callback(_end, process)
    return Running(proxy, process, place.port, place.key)


def _log(directory: Path, proxy: Proxy) -> Path:
    return directory / f"{proxy.name.replace(' ', '-')}.log"


def _wait(proxy: Running, directory: Path) -> None:
    until = time.monotonic() + PATIENCE
    while proxy.process and not _answers(proxy.port):
        if proxy.process.poll() is not None or time.monotonic() > until:
            said = _log(directory, proxy.proxy).read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{proxy.proxy.name} does not answer: {said}")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        return connection.recv(1) != b""
    return False


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Peer:
    """`upstream.py` or `client.py`: a process that is told things in lines of JSON."""

    def __init__(self, script: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script)],
            env={**os.environ, "PYTHONPATH": str(HERE.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, what: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} has ended")
        return line

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            _end(self.process)
