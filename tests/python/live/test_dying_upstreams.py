"""Upstreams that die: the client gets every whole event, no half one, and word of it; the report tells why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sse_fast import IdleTimeoutError, Rewriter, TruncatedError
from sse_fast.aio import RewriteStream, StreamReport

from live.client import Client
from live.events import COMMENT, RULES, Stream, large_event
from live.gateway import Gateway, proxied
from live.servers import SERVERS, Server, every_library, every_server
from live.upstream import Exchange, Upstream
from live.upstream_h2 import Exchange2, Upstream2
from live.watch import named, run, soon

STREAM = Stream(6)
WHOLE = 3
"""Events that came before the upstream died; half of another one did, too."""
SENT, EXPECTED = b"".join(STREAM.sent[:WHOLE]), b"".join(STREAM.expected[:WHOLE])
HALF = STREAM.sent[WHOLE][:30]
SHORT = 2.0
"""A timeout, within which the client has read what came before."""


class Fault:
    """One way to die, after `WHOLE` events unless it says otherwise."""

    def __init__(
        self,
        die: Callable[[Exchange, asyncio.Event], Awaitable[None]],
        outcome: str = "upstream_error",
        error: type[Exception] | None = None,
        *,
        expected: bytes = EXPECTED,
        only: str | None = None,
        **plan: Any,
    ) -> None:
        self.die = die
        self.outcome = outcome
        self.error = error
        self.expected = expected
        self.only = only
        self.plan = plan


# Each is given the exchange, and the event that the client has read all whole events: a RST overtakes what is unread.


async def reset(exchange: Exchange, read: asyncio.Event) -> None:
    await exchange.head()
    await exchange.body(SENT + HALF)
    await read.wait()
    exchange.reset()


async def fin_in_mid_chunk(exchange: Exchange, read: asyncio.Event) -> None:
    await exchange.head()
    await exchange.raw(b"%x\r\n" % (len(SENT + HALF) + 1) + SENT + HALF)


async def fin_between_chunks(exchange: Exchange, read: asyncio.Event) -> None:
    await exchange.head()
    await exchange.body(SENT)


async def fin_in_mid_event(exchange: Exchange, read: asyncio.Event) -> None:
    await exchange.head(framing="close")
    await exchange.body(SENT + HALF)


async def end_in_mid_event(exchange: Exchange, read: asyncio.Event) -> None:
    await exchange.head()
    await exchange.body(SENT + HALF)
    await exchange.end()


async def fin_before_the_length(exchange: Exchange, read: asyncio.Event) -> None:
    await exchange.head(framing=str(len(SENT) + 100))
    await exchange.body(SENT)


async def garbage(exchange: Exchange, read: asyncio.Event) -> None:
    await exchange.head()
    await exchange.body(SENT)
    await read.wait()
    await exchange.raw(b"no chunk size\r\n")
    await exchange.hang()


async def silence(exchange: Exchange, read: asyncio.Event) -> None:
    await exchange.head()
    await exchange.body(SENT + HALF)
    await exchange.hang()


async def comments_only(exchange: Exchange, read: asyncio.Event) -> None:
    await exchange.head()
    await exchange.body(SENT)
    while not exchange.gone.is_set():
        await exchange.body(COMMENT)
        await asyncio.sleep(0.02)


async def reset_before_the_first_byte(exchange: Exchange, read: asyncio.Event) -> None:
    await exchange.head()
    await read.wait()
    exchange.reset()


async def reset_before_the_headers(exchange: Exchange, read: asyncio.Event) -> None:
    await read.wait()
    exchange.reset()


LARGE_SENT, LARGE_EXPECTED = large_event(1 << 16)


async def reset_in_a_large_event(exchange: Exchange, read: asyncio.Event) -> None:
    await exchange.head()
    await exchange.body(SENT + LARGE_SENT[: 1 << 15])
    await read.wait()
    exchange.reset()


class ChatDialect:
    """Ends with `[DONE]`, has an error of its own form."""

    def is_terminal(self, report: StreamReport) -> bool:
        return report.stats is not None and report.stats.done

    def error_event(self, error: BaseException, report: StreamReport) -> bytes:
        return f'event: oops\ndata: {{"error":{{"type":"{report.outcome}"}}}}\n\n'.encode()


FAULTS = [
    Fault(reset),
    Fault(reset, heartbeat=3600, idle_timeout=3600),
    Fault(fin_in_mid_chunk),
    Fault(fin_between_chunks),
    Fault(fin_in_mid_event, "truncated", TruncatedError),
    Fault(fin_in_mid_event, "truncated", TruncatedError, heartbeat=3600, on_disconnect="drain"),
    Fault(end_in_mid_event, "truncated", TruncatedError),
    Fault(end_in_mid_event, "truncated", TruncatedError, dialect=ChatDialect()),
    Fault(fin_before_the_length),
    Fault(garbage, only="httpx"),  # aiohttp 3.14 says nothing of it to who reads, and hangs
    Fault(silence, timeout=SHORT),
    Fault(silence, timeout=SHORT, heartbeat=3600),
    Fault(silence, "idle_timeout", IdleTimeoutError, idle_timeout=SHORT),
    Fault(comments_only, "idle_timeout", IdleTimeoutError, idle_timeout=SHORT),
    Fault(reset_before_the_first_byte, expected=b""),
    Fault(reset_before_the_headers, expected=b"", opens_late=True),
    Fault(reset_in_a_large_event, rewriter={"max_held": 1 << 12}, expected=EXPECTED + LARGE_EXPECTED[: 1 << 14]),
]


async def client_of(fault: Fault, path: str, errors: str, upstream: Upstream, gateway: Gateway, port: int) -> None:
    has_read = asyncio.Event()
    upstream.expect(path, lambda exchange: fault.die(exchange, has_read))
    plan = gateway.plan(path, errors=errors, **fault.plan)
    async with Client(port, path) as client:
        await soon(client.headers())
        await soon(client.until(len(fault.expected)))
        has_read.set()
        output = (await soon(client.rest())).replace(COMMENT, b"")
    report = await plan.report()
    assert report.outcome == fault.outcome
    assert report.error is not None
    assert fault.error is None or type(report.error) is fault.error
    if fault.die is reset_in_a_large_event:  # half of it is out and cannot be called back: no event may follow
        assert (EXPECTED + LARGE_EXPECTED).startswith(output)
        assert not client.complete
    elif errors == "raise":
        assert output == fault.expected
        assert not client.complete
    else:
        assert output.startswith(fault.expected)
        event, data = output.removeprefix(fault.expected).removesuffix(b"\n\n").split(b"\ndata: ")
        assert event == (b"event: oops" if "dialect" in fault.plan else b"event: error")
        assert json.loads(data)["error"]["type"] == fault.outcome
        assert b"127.0.0.1" not in data
        assert client.complete


@every_server
@every_library
def test_upstreams_that_die(server: Server, library: str) -> None:
    async def scenario() -> None:
        async with proxied(server, library) as (upstream, gateway, port), asyncio.TaskGroup() as group:
            for number, fault in enumerate(FAULTS):
                if fault.only not in (None, library):
                    continue
                if fault.die in (silence, comments_only) and server is not SERVERS[0]:  # they take long
                    continue
                for errors in ("raise", "event"):
                    name = f"/{fault.die.__name__}/{number}/{errors}"
                    group.create_task(named(name, client_of(fault, name, errors, upstream, gateway, port)))

    run(scenario(), server.loop_factory)


@every_library
def test_an_end_without_the_event_that_ends_a_stream(library: str) -> None:
    """With a dialect that knows it; without one, any end between two events is good."""
    server = SERVERS[0]

    async def answer(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.body(SENT)
        await exchange.end()

    async def scenario() -> None:
        async with proxied(server, library) as (upstream, gateway, port):
            for path, dialect in (("/with", ChatDialect()), ("/without", None)):
                upstream.expect(path, answer)
                plan = gateway.plan(path, dialect=dialect)
                async with Client(port, path) as client:
                    assert await soon(client.rest()) == EXPECTED
                    assert client.complete == (dialect is None)
                assert await plan.outcome() == "truncated" if dialect else "completed"

    run(scenario())


@every_server
@pytest.mark.parametrize("heartbeat", [None, 3600])
def test_an_http2_stream_that_is_reset(server: Server, heartbeat: float | None) -> None:
    """Its neighbours on the connection go on."""

    async def scenario() -> None:
        has_read, is_reset = asyncio.Event(), asyncio.Event()

        async def die(exchange: Exchange2) -> None:
            await exchange.head()
            await exchange.body(SENT + HALF)
            await has_read.wait()
            exchange.reset()
            is_reset.set()

        async def live(exchange: Exchange2) -> None:
            await exchange.head()
            await exchange.body(STREAM.sent[0])
            await is_reset.wait()
            await exchange.body(b"".join(STREAM.sent[1:]))
            await exchange.end()

        async def read_what_dies(port: int) -> None:
            async with Client(port, "/dies") as client:
                await soon(client.until(len(EXPECTED)))
                has_read.set()
                assert await soon(client.rest()) == EXPECTED
                assert not client.complete

        async def read_what_lives(port: int) -> None:
            async with Client(port, "/lives") as client:
                assert await soon(client.rest()) == STREAM.output
                assert client.complete

        async with (
            Upstream2() as upstream,
            Gateway(upstream.url, http2=True) as gateway,
            server.serve(gateway.app) as port,
        ):
            upstream.expect("/dies", die)
            upstream.expect("/lives", live)
            dies = gateway.plan("/dies", heartbeat=heartbeat)
            lives = gateway.plan("/lives", heartbeat=heartbeat)
            async with asyncio.TaskGroup() as group:
                group.create_task(read_what_lives(port))
                group.create_task(read_what_dies(port))
            assert await dies.outcome() == "upstream_error"
            assert await lives.outcome() == "completed"
            assert len(upstream.peers) == 1

            # A client that leaves does not close the connection either. (httpcore does not reset the stream.)
            upstream.expect("/left", lambda exchange: exchange.head())
            leaves = gateway.plan("/left", heartbeat=heartbeat)
            async with Client(port, "/left") as client:
                await soon(client.headers())
                client.reset()
                assert await leaves.outcome() == "cancelled"
            assert not upstream.peers[0].transport.is_closing()

    run(scenario(), server.loop_factory)


@every_library
def test_an_upstream_that_cannot_be_reached(library: str) -> None:
    """The stream asks it late, when the headers are out: an error event is all that is left."""
    server = SERVERS[0]

    async def scenario() -> None:
        async with Upstream() as upstream:
            url = upstream.url
        async with Gateway(url, library) as gateway, server.serve(gateway.app) as port:
            plan = gateway.plan("/", opens_late=True, errors="event")
            async with Client(port, "/") as client:
                output = await soon(client.rest())
            assert client.complete
            assert output.startswith(b"event: error\ndata: ")
            assert await plan.outcome() == "upstream_error"

    run(scenario())


def test_all_whole_events_of_the_last_chunk_come_first() -> None:
    """The chunk that brings the error brings events, too."""

    async def source() -> Any:
        yield SENT + HALF
        raise ConnectionResetError("gone")

    async def scenario() -> None:
        stream = RewriteStream(source(), Rewriter(RULES))
        assert await anext(stream) == EXPECTED
        with pytest.raises(ConnectionResetError):
            await anext(stream)

    run(scenario())
