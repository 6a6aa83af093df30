"""The gateway in processes of its own."""

import logging
import math
import os
import signal
import socket
import sys
import tempfile
from functools import partial
from typing import TextIO

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from sse_fast.asgi.protocol import Protocol
from sse_fast.gateway.app import create_app
from sse_fast.gateway.config import Config
from sse_fast.gateway.record import log

# Seconds for a client to take its last event, after ``shutdown_grace``.
LAST_WORDS = 5


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises `OSError` where the address cannot be had."""
    host, _, port = config.listen.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    if directory := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        os.makedirs(directory, exist_ok=True)  # raises before the port opens
    server = uvicorn.Config(
        partial(_app, config),
        factory=True,
        workers=config.workers,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=config.timeouts.keep_alive,  # type: ignore[arg-type]  # a float will do
        timeout_graceful_shutdown=math.ceil(config.shutdown_grace) + LAST_WORDS,
    )
    with socket.create_server((host.strip("[]"), int(port)), family=family, backlog=2048) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)  # for all that it accepts
        print(f"sse-fast gateway listens on http://{host}:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
        if config.workers == 1:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # uvicorn raises it again, last of all
            uvicorn.Server(server).run([listening])
            return
        with tempfile.TemporaryDirectory(prefix="sse-fast-gateway-") as directory:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = os.environ.get("PROMETHEUS_MULTIPROC_DIR") or directory
            Workers(server, [listening]).run()


class Workers(Multiprocess):
    """Refuses connections as soon as the workers do, and counts no streams of one that died."""

    def keep_subprocess_alive(self) -> None:
        """Start others for those that died."""
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def terminate_all(self) -> None:
        """End the workers."""
        for listening in self.sockets:
            listening.close()
        super().terminate_all()


class _Records(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        """Where nobody reads them, all goes nowhere, what is still buffered, too. A full disk may have room again."""
        if isinstance(sys.exception(), BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _app(config: Config) -> ASGIApp:
    """In each process: records go to stdout, and nothing else does."""
    logging.basicConfig(format="%(levelname)s: %(name)s: %(message)s")
    Protocol.patience, Protocol.stall = config.timeouts.request, config.timeouts.send
    logging.raiseExceptions = False  # that nobody reads the records stops nothing
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(_Records(sys.stdout))
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return create_app(config)
