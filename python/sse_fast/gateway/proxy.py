"""One request, from end to end."""

import asyncio
import re
import secrets
from contextlib import AsyncExitStack, suppress

from aiohttp import ClientError, ClientSession
from starlette.types import Receive, Scope, Send

from sse_fast import EncodingError, RefusalError, SSEFastError
from sse_fast.asgi.client import Client
from sse_fast.asgi.messages import body, encoded, flush, values
from sse_fast.asgi.request import RequestBody
from sse_fast.dialects import chat_completions, for_path
from sse_fast.gateway.answer import Answer
from sse_fast.gateway.config import Config
from sse_fast.gateway.record import Metrics, Record
from sse_fast.gateway.request import Request, read_request
from sse_fast.gateway.routes import Route, find
from sse_fast.gateway.upstream import Upstream

FAILURES = (ClientError, OSError, SSEFastError)
UNAVAILABLE = {408, 429, *range(500, 600)}
# Seconds for a client that sends yet when it has been answered: in all, and without a byte. nginx's are 30 and 5.
LINGER, PAUSE = 30.0, 2.0
STOPPING = RefusalError(503, "the gateway is shutting down")


class TryAnother(Exception):
    """An upstream failed, and there is another."""


class Proxy:
    """Answers each request as an upstream of its route does (ASGI)."""

    session: ClientSession

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self.config = config
        self.metrics = metrics
        self.routes = [Route(each) for each in config.routes]
        self.stopping = False
        self._exchanges: set[Exchange] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(self, scope, receive, send)
        self._exchanges.add(exchange)
        try:
            await exchange.run()
        finally:
            self._exchanges.discard(exchange)

    def stop(self) -> None:
        """What is open goes on for ``shutdown_grace``; then it is ended."""
        self.stopping = True
        asyncio.get_running_loop().call_later(self.config.shutdown_grace, self.end)

    def end(self) -> None:
        """What is open is to end now."""
        for exchange in list(self._exchanges):
            exchange.end()


class Exchange:
    """A request and its answer."""

    def __init__(self, proxy: Proxy, scope: Scope, receive: Receive, send: Send) -> None:
        self._proxy, self._config, self._scope = proxy, proxy.config, scope
        self._route = find(proxy.routes, scope["path"])
        self._dialect = self._route.dialect(scope["path"]) if self._route else for_path(scope["path"])
        self._body = RequestBody(
            scope, receive, limit=self._config.max_request_bytes, seconds=self._config.timeouts.request
        )
        self._client = Client(self._body.departure, send)
        self._record = Record(_id(scope), self._route.name if self._route else "none", self._dialect)
        self._patience = asyncio.timeout(None)
        self._answer: Answer | None = None

    def end(self) -> None:
        """The gateway waits no longer."""
        if self._answer is not None:
            self._answer.stream.fail(STOPPING)
        else:
            with suppress(RuntimeError):  # it does not wait
                self._patience.reschedule(0)

    async def run(self) -> None:
        """Answer, and tell of it."""
        try:
            async with self._client:
                try:
                    async with self._patience:
                        self._answer = await self._ask_each()
                except FAILURES as error:
                    await self._refuse(STOPPING if self._patience.expired() else error)
                else:
                    await self._pass_on(self._answer)
        except Exception:
            self._record.status, self._record.outcome = 500, "failed"
            raise
        finally:
            self._record.tell(self._proxy.metrics)

    async def _ask_each(self) -> Answer:
        """The answer of the first upstream that has one, else of the last. Raises one of `FAILURES`."""
        if self._route is None:
            raise RefusalError(404, "the gateway has no route for this path")
        request = await read_request(self._scope, self._body, self._record.id, self._route, self._dialect)
        self._record.asks(request)
        *others, last = self._route.upstreams
        for upstream in others:
            with suppress(TryAnother):
                return await self._ask(upstream, request, is_last=False)
        return await self._ask(last, request, is_last=True)

    async def _ask(self, upstream: Upstream, request: Request, *, is_last: bool) -> Answer:
        timeouts, record = self._config.timeouts, self._record
        record.attempts, record.upstream = record.attempts + 1, upstream.name

        def failed(reason: str) -> None:
            self._proxy.metrics.failures.labels(record.route, upstream.name, reason).inc()
            if not is_last and not request.is_used_up:
                raise TryAnother

        async with AsyncExitStack() as unless_it_answers:
            try:
                async with asyncio.timeout(timeouts.first_byte if request.streams else timeouts.answer):
                    response = await upstream.ask(self._proxy.session, request)
                unless_it_answers.callback(response.close)
                if response.status in UNAVAILABLE:
                    failed("status")
                answer = Answer(response, request, self._config)
                unless_it_answers.push_async_callback(answer.stream.aclose)
                await answer.begin()
                if answer.is_error:
                    failed("error_event")
            except RefusalError:
                raise
            except EncodingError:
                failed("broken")
                raise RefusalError(502, "the upstream's answer cannot be decoded") from None
            except FAILURES as error:
                failed("timeout" if isinstance(error, TimeoutError) else "broken")
                raise
            unless_it_answers.pop_all()
            return answer

    async def _pass_on(self, answer: Answer) -> None:
        """Send the answer. What its stream raises breaks the connection, for the client to see."""
        streams = self._proxy.metrics.streams
        streams.inc(answer.is_event_stream)
        try:
            async with answer.stream as chunks:
                await self._start(answer.status, answer.headers)
                async for chunk in chunks:
                    await self._client.send(body(chunk, more=True))
                    self._record.sent(chunk)
                await self._finish()
        except Exception as error:
            if error is not answer.stream.report.error:
                raise
        finally:
            streams.dec(answer.is_event_stream)
            answer.tell(self._record)

    async def _refuse(self, error: Exception) -> None:
        """Tell of an error, in the dialect's form."""
        status, text = (self._dialect or chat_completions).error_body(error)
        self._record.outcome = "refused" if isinstance(error, RefusalError) and status != 502 else "upstream_error"
        headers = [("content-type", "application/json"), ("content-length", str(len(text)))]
        await self._start(status, [*headers, ("connection", "close")] if status == 408 else headers)
        await self._finish(text)

    async def _start(self, status: int, headers: list[tuple[str, str]]) -> None:
        if all(name != "x-request-id" for name, _ in headers):
            headers = [*headers, ("x-request-id", self._record.id)]
        await self._client.send({"type": "http.response.start", "status": status, "headers": encoded(headers)})
        self._record.status = status
        await self._client.send(flush())

    async def _finish(self, last: bytes = b"") -> None:
        await self._client.stop_watching()
        await self._client.send(body(last, more=True))
        self._record.sent(last)
        if self._record.status != 408:  # who was too slow once is not waited for again
            await self._body.discard(seconds=LINGER, idle=PAUSE)
        await self._client.send(body(b"", more=False))


def _id(scope: Scope) -> str:
    """The client's own, where it is plausible."""
    given = b"".join(values(scope["headers"], b"x-request-id")).decode("latin-1")
    return given if re.fullmatch("[!-~]{1,128}", given) else f"req_{secrets.token_hex(12)}"
