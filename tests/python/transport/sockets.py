"""Upstreams on loopback that follow a script, over HTTP/1.1 and HTTP/2, and transports that reach them."""

from __future__ import annotations

import importlib
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from transport.peers import Kit

HANG, RESET = object(), object()


class Upstream(socketserver.ThreadingTCPServer):
    """HTTP/1.1 by hand on loopback: answers each request with a script of chunks, HANG and RESET."""

    allow_reuse_address = True

    def __init__(self, *script: Any, content_type: str = "text/event-stream") -> None:
        self.script = script
        self.content_type = content_type
        self.connections = 0
        self.requests: list[bytes] = []
        self.left = threading.Event()
        """A client closed its connection in the middle of an answer."""
        self.sockets: list[socket.socket] = []
        super().__init__(("127.0.0.1", 0), Connection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    @classmethod
    @contextmanager
    def running(cls, *script: Any, **options: Any) -> Iterator[Upstream]:
        with cls(*script, **options) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()
                for each in server.sockets:  # a test that failed has left them open
                    with suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)


class Connection(socketserver.StreamRequestHandler):
    server: Upstream
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1
        self.server.sockets.append(self.connection)

    def handle(self) -> None:
        with suppress(ConnectionError):
            while self._takes_one():
                pass

    def _takes_one(self) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return False
            head += line
        length = next((int(line[15:]) for line in head.lower().splitlines() if line.startswith(b"content-length:")), 0)
        self.rfile.read(length)
        self.server.requests.append(head)
        try:
            return self._answers()
        except ConnectionError:  # a write met it first
            self.server.left.set()
            return False

    def _answers(self) -> bool:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n")
        self.wfile.write(b"Content-Type: %s\r\n\r\n" % self.server.content_type.encode())
        for step in self.server.script:
            if step is HANG:
                with suppress(ConnectionError):
                    self.rfile.read(1)
                self.server.left.set()
                return False
            if step is RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Other handles keep the socket: shutdown sends nothing after a linger of 0, close must.
                self.wfile.close()
                self.rfile.close()
                self.connection.close()
                return False
            self.wfile.write(b"%x\r\n%s\r\n" % (len(step), step))
        self.wfile.write(b"0\r\n\r\n")
        return True


def network(kit: Kit, **options: Any) -> Any:
    return kit.library.AsyncHTTPTransport(**options) if kit.is_async else kit.library.HTTPTransport(**options)


class Upstream2(Upstream):
    """HTTP/2 with prior knowledge; after HANG a stream stays open, RESET sends an RST_STREAM."""

    def __init__(self, *script: Any) -> None:
        super().__init__(*script)
        self.RequestHandlerClass = Connection2


class Connection2(Connection):
    def handle(self) -> None:
        h2 = importlib.import_module("h2.connection")
        events = importlib.import_module("h2.events")
        config = importlib.import_module("h2.config").H2Configuration(client_side=False)
        state = h2.H2Connection(config)
        state.initiate_connection()
        with suppress(ConnectionError):
            self.connection.sendall(state.data_to_send())
            while data := self.connection.recv(65536):
                for event in state.receive_data(data):
                    if isinstance(event, events.RequestReceived):
                        self._answer(state, event.stream_id)
                self.connection.sendall(state.data_to_send())

    def _answer(self, state: Any, stream: int) -> None:
        self.server.requests.append(b"")
        state.send_headers(stream, [(":status", "200"), ("content-type", self.server.content_type)])
        for step in self.server.script:
            if step is HANG:
                return
            if step is RESET:
                state.reset_stream(stream, error_code=2)
                return
            state.send_data(stream, step)
        state.end_stream(stream)
