"""uvicorn's HTTP protocol with the limits that it lacks: on heads, in bytes and time, on pipelines and on waiting."""

import asyncio
import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if sys.platform != "win32":
    from fcntl import ioctl
    from termios import TIOCOUTQ

# Bytes of a head, of trailers, of a chunk's extensions; h11 stops at as many. One read of the socket may come on top.
MOST_HEAD = 1 << 16
# Requests on a connection that wait for the one before; only tools for measuring send any.
MOST_WAITING = 16


class Protocol(HttpToolsProtocol):
    """A connection, for ``http=`` of `uvicorn.Config`. What it refuses no application hears of."""

    patience = 60.0
    """Seconds for a head to come."""
    stall = 300.0
    """Seconds for a client to take anything of what waits for it; not where the system does not tell (Windows).

    nginx breaks off after 60. But on loopback a window opens by 64 KiB, which may take the client's client a minute.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._unframed = 0  # bytes since something was understood
        self._has_head = False
        self._reason = ""
        self._running: RequestResponseCycle | None = None
        self._deadline = self.loop.call_later(self.patience, self._refuse, 408)
        self._stalling: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered; uvicorn tells the latest, which may be another."""
        super().connection_lost(exc)
        self._deadline.cancel()
        self._stop_stalling()
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Read on, unless it comes to nothing."""
        self._unframed += len(data)
        super().data_received(data)
        if self._unframed > MOST_HEAD:
            self._refuse(431)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._has_head = False
        self._deadline.cancel()
        self._deadline = self.loop.call_later(self.patience, self._refuse, 408)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Trailers are none (RFC 9110, 6.5.1)."""
        if self._has_head:
            return
        if name.lower() == b"transfer-encoding" and value.lower() != b"chunked":
            self._reject("a transfer coding is not supported, only chunked is")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._deadline.cancel()
        self._has_head, self._unframed = True, 0
        upgrades = self.parser.should_upgrade()
        if upgrades and any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers):
            # It might be ignored (RFC 9110, 7.8), but httptools takes the body for what comes after the upgrade.
            self._reject("an upgrade of a request with a body is not supported: ask in HTTP/1.1 and without one")
        if len(self.pipeline) >= MOST_WAITING:
            self._reject(f"more than {MOST_WAITING} requests wait for an answer")
        if [name for name, _ in self.headers].count(b"host") != 1 and self.parser.get_http_version() != "1.0":
            self._reject("a request has exactly one Host (RFC 9112, 3.2)")
        super().on_headers_complete()
        if upgrades:
            self.cycle.keep_alive = False
        self.flow.resume_reading()  # or nobody would see the client leave

    def _reject(self, reason: str) -> None:
        self._reason = reason
        raise ValueError(reason)  # for the parser, which makes an error of its own of it

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, and say why where that is known; not into an answer that is under way."""
        if self._running is not None and self._running.response_started and not self._running.response_complete:
            self.transport.close()
            return
        super().send_400_response(self._reason or msg)

    def on_body(self, body: bytes) -> None:
        """A part of a body is there."""
        self._unframed = 0
        super().on_body(body)

    def pause_writing(self) -> None:
        """The client takes less than there is: begin to look whether it takes anything."""
        super().pause_writing()
        if sys.platform != "win32":
            self._look_again(self._waiting())

    def resume_writing(self) -> None:
        """It has taken enough."""
        super().resume_writing()
        self._stop_stalling()

    def _waiting(self) -> int:
        """Bytes that the client has not acknowledged; those in the kernel may be the most."""
        in_kernel = bytes(4)
        if sys.platform != "win32":
            in_kernel = ioctl(self.transport.get_extra_info("socket").fileno(), TIOCOUTQ, in_kernel)
        return self.transport.get_write_buffer_size() + int.from_bytes(in_kernel, sys.byteorder)

    def _look_again(self, before: int) -> None:
        self._stalling = self.loop.call_later(self.stall, self._look, before)

    def _look(self, before: int) -> None:
        waiting = self._waiting()
        if waiting < before:
            self._look_again(waiting)
        else:
            self.transport.abort()

    def _stop_stalling(self) -> None:
        if self._stalling is not None:
            self._stalling.cancel()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse(self, status: int) -> None:
        if not self.transport.is_closing():
            if self._running is None or self._running.response_complete:
                self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()
