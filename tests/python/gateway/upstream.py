"""An upstream on a bare socket that answers from a list of replies and keeps what it was asked.

async with Upstream() as upstream:
    upstream.will(Reply(chunks=[b"data: 1\n\n", 0.2, b"data: [DONE]\n\n"]), Reply(status=503))
    ...  # two requests to upstream.url
    assert upstream.seen[0].body == b"{}"
    await upstream.seen[0].gone.wait()  # the other side has closed the connection
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

Headers = Iterable[tuple[str, str]]
EVENTS = ("content-type", "text/event-stream")
JSON = ("content-type", "application/json")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One response. A number among the chunks is a pause, in seconds."""

    status: int = 200
    headers: Headers = (EVENTS,)
    chunks: Sequence[bytes | float] = ()
    framing: Literal["chunked", "length", "close"] = "chunked"
    """``close``: the body ends with the connection. ``length``: of all chunks."""
    delay: float = 0.0
    """Before the headers."""
    end: Literal["whole", "fin", "rst", "hang"] = "whole"
    """``fin`` and ``rst`` break the connection in place of a proper end; ``hang`` waits for the other side to leave."""
    early: bool = False
    """It is sent before the request's body has been read; that goes on afterwards."""
    interim: bytes = b""
    """Raw bytes before the status line, as ``HTTP/1.1 100 Continue`` and a blank line."""


def json_reply(value: Any, *, status: int = 200, headers: Headers = (), **options: Any) -> Reply:
    """A JSON body with its length."""
    text = json.dumps(value).encode()
    return Reply(status=status, headers=[JSON, *headers], chunks=[text], framing="length", **options)


BROKEN = Reply(end="rst", chunks=[], status=0)
"""The connection breaks without a byte of a response."""


@dataclass
class Seen:
    """A request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    """Names in lower case."""
    body: bytes = b""
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    """All of its body is there."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """The other side has closed the connection."""
    sent: int = 0
    """Bytes of the response's body that have been written."""

    def values(self, name: str) -> list[str]:
        """Of all headers of this name."""
        return [value for each, value in self.headers if each == name]

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


class Upstream:
    """Serves on a loopback port of its own. Each request takes the next reply; the last one serves all further ones."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        """How many there were."""
        self._replies: list[Reply] = []
        self._arrival = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []

    def will(self, *replies: Reply) -> None:
        """Answer so, one after another, and after what was said before."""
        self._replies += replies

    async def asked(self, count: int = 1) -> Seen:
        """The latest request, as soon as there have been so many."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.seen) >= count)
        return self.seen[count - 1]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1024)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._errors:
            raise self._errors[0]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as error:  # of this file: the test shall hear of it
            self._errors.append(error)
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its reply; whether another may follow."""
        seen = await _head(reader)
        async with self._arrival:
            self.seen.append(seen)
            self._arrival.notify_all()
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        body = asyncio.ensure_future(_body(reader, seen))
        watcher = asyncio.ensure_future(_departure(reader, body, seen))
        try:
            if not reply.early:
                await asyncio.wait({body, watcher}, return_when=asyncio.FIRST_COMPLETED)
                body.result()
            if not await _wait(reply.delay, seen):
                return False
            await _respond(reply, writer, seen)
            if reply.end == "hang":
                await seen.gone.wait()
            if reply.end == "rst":
                reset(writer)
            if reply.end != "whole" or reply.framing == "close":
                return False
            await body
            return not seen.gone.is_set()
        except (ConnectionError, asyncio.IncompleteReadError):
            seen.gone.set()
            return False
        finally:
            body.cancel()
            watcher.cancel()
            await asyncio.gather(body, watcher, return_exceptions=True)


async def _head(reader: asyncio.StreamReader) -> Seen:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    pairs = [line.split(":", 1) for line in lines[1:-2]]
    return Seen(method, target, [(name.lower(), value.strip()) for name, value in pairs])


async def _body(reader: asyncio.StreamReader, seen: Seen) -> None:
    if seen.values("transfer-encoding"):
        while size := int((await reader.readuntil(b"\r\n")), 16):
            seen.body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    for length in seen.values("content-length"):
        while missing := int(length) - len(seen.body):
            chunk = await reader.read(missing)
            if not chunk:
                raise asyncio.IncompleteReadError(b"", missing)
            seen.body += chunk
    seen.whole.set()


async def _departure(reader: asyncio.StreamReader, body: asyncio.Future[None], seen: Seen) -> None:
    """Reading on is how one hears that the other side has closed."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        await asyncio.shield(body)
        while not reader.at_eof() and not reader._buffer:  # type: ignore[attr-defined]
            await reader._wait_for_data("departure")  # type: ignore[attr-defined]
        if reader._buffer:  # type: ignore[attr-defined]
            return  # the next request, already
    seen.gone.set()


async def _wait(seconds: float, seen: Seen) -> bool:
    """Whether the other side is still there afterwards."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(seen.gone.wait(), seconds or 1e-6)
    return not seen.gone.is_set()


async def _respond(reply: Reply, writer: asyncio.StreamWriter, seen: Seen) -> None:
    if reply.status == 0:
        return
    framed = {
        "chunked": "transfer-encoding: chunked",
        "close": "connection: close",
        "length": f"content-length: {sum(len(chunk) for chunk in reply.chunks if isinstance(chunk, bytes))}",
    }[reply.framing]
    lines = [f"HTTP/1.1 {reply.status} So", *(f"{name}: {value}" for name, value in reply.headers), framed]
    writer.write(reply.interim + "\r\n".join([*lines, "", ""]).encode("latin-1"))
    if seen.method == "HEAD" or reply.status in (204, 304):
        await writer.drain()
        return
    for chunk in reply.chunks:
        if isinstance(chunk, bytes):
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if reply.framing == "chunked" else chunk)
            seen.sent += len(chunk)
            await writer.drain()
        elif not await _wait(chunk, seen):
            raise ConnectionResetError
    if reply.framing == "chunked" and reply.end == "whole":
        writer.write(b"0\r\n\r\n")
    await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST in place of FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
