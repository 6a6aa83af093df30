"""One request, from end to end."""

import asyncio
from contextlib import AsyncExitStack, suppress

from aiohttp import ClientError, ClientResponse, ClientSession
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from sse_fast import RefusalError, SSEFastError
from sse_fast.aio import UpstreamResponse
from sse_fast.asgi.client import Client
from sse_fast.asgi.messages import body
from sse_fast.asgi.request import RequestBody, request_id
from sse_fast.dialects import for_path
from sse_fast.gateway.config import Config
from sse_fast.gateway.record import Metrics, Record
from sse_fast.gateway.request import Request, read_request
from sse_fast.gateway.routes import Route, find
from sse_fast.gateway.upstream import Upstream

FAILURES = (ClientError, OSError, SSEFastError)
UNAVAILABLE = {408, 429, *range(500, 600)}
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
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
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
        config = self._config = proxy.config
        self._proxy, self._scope = proxy, scope
        self._route = find(proxy.routes, scope["path"])
        self._dialect = self._route.dialect(scope["path"]) if self._route else for_path(scope["path"])
        self._body = RequestBody(scope, receive, limit=config.max_request_bytes, seconds=config.timeouts.request)
        self._client = Client(self._body.departure, send)
        name = self._route.name if self._route else "none"
        self._record = Record(request_id(scope), name, self._dialect, scope["path"])
        self._patience = asyncio.timeout(None)
        self._answer: UpstreamResponse | None = None

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
            self._record.outcome = "failed"
            raise
        finally:
            self._record.tell(self._proxy.metrics, self._client.status)

    async def _ask_each(self) -> UpstreamResponse:
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

    async def _ask(self, upstream: Upstream, request: Request, *, is_last: bool) -> UpstreamResponse:
        timeouts, record = self._config.timeouts, self._record
        record.attempts, record.upstream = record.attempts + 1, upstream.name

        def failed(reason: str) -> None:
            self._proxy.metrics.failures.labels(record.route, upstream.name, reason).inc()
            if not is_last and not request.is_used_up:
                raise TryAnother

        async with AsyncExitStack() as unless_it_answers:
            try:
                async with asyncio.timeout(timeouts.first_byte if request.asked.streams else timeouts.answer):
                    response = await upstream.ask(self._proxy.session, request, record.api)
                unless_it_answers.callback(response.close)
                if response.status in UNAVAILABLE:
                    failed("status")
                answer = self._rewritten(response, request)
                unless_it_answers.push_async_callback(answer.stream.aclose)
                await answer.begin(hold=timeouts.hold)
                if response.ok and record.api.has_failed(answer.stream.report):
                    failed("error_event")
            except RefusalError:
                raise
            except FAILURES as error:
                failed("timeout" if isinstance(error, TimeoutError) else "broken")
                raise
            unless_it_answers.pop_all()
            return answer

    def _rewritten(self, response: ClientResponse, request: Request) -> UpstreamResponse:
        rules, body_rules = request.route.rewriting(request.dialect, request.asked.model)
        return UpstreamResponse(
            response.status,
            response.raw_headers,
            response.content.iter_any(),
            response=response,
            method=request.method,
            rewriter=request.route.rewriter(rules, request.dialect),
            body_rules=body_rules if request.dialect or body_rules else None,
            max_body=self._config.max_response_bytes,
            dialect=request.dialect,
            errors="event",
            heartbeat=request.route.heartbeat,
            idle_timeout=self._config.timeouts.idle,
        )

    async def _pass_on(self, answer: UpstreamResponse) -> None:
        """Send the answer. What its stream raises breaks the connection, for the client to see."""
        gauge, streams = self._proxy.metrics.streams, answer.kind == "event stream"
        gauge.inc(streams)
        try:
            async with answer.stream as chunks:
                await self._client.start(answer.status, answer.headers, request_id=self._record.id)
                async for chunk in chunks:
                    await self._client.send(body(chunk, more=True))
                    self._record.sent(chunk)
                await self._client.finish(unread=self._body)
        except Exception as error:
            if error is not answer.stream.report.error:
                raise
        finally:
            gauge.dec(streams)
            self._record.answered(answer)

    async def _refuse(self, error: Exception) -> None:
        """Tell of an error, in the dialect's form."""
        status, text = self._record.api.error_body(error)
        self._record.outcome = "refused" if isinstance(error, RefusalError) and status != 502 else "upstream_error"
        headers = [("content-type", "application/json"), ("content-length", str(len(text)))]
        headers += [("connection", "close")] * (status == 408)  # who was too slow once is not waited for again
        await self._client.start(status, headers, request_id=self._record.id)
        await self._client.send(body(text, more=True))
        self._record.sent(text)
        await self._client.finish(unread=self._body)
