"""A browser through the gateway: `fetch` with a reader of its stream, and `EventSource`, in headless Chromium.

It needs no driver: the upstream's first answer is a page that does all the acts, and its last request says what came of
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from live.watch import run
from sse_fast.dialects import get

from gateway.bodies import CHAT, MESSAGES
from gateway.clients import programs
from gateway.clients.said import STREAM
from gateway.clients.scenes import TEXT, UPSTREAM_FAILED, happens, scenes
from gateway.running import config, records, serving
from gateway.upstream import EVENTS, Reply, Seen, Upstream, json_reply

PATHS = {
    "chat_completions": CHAT,
    "messages": MESSAGES,
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/fast:streamGenerateContent?alt=sse",
}
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"]
FLAGS += ["--disable-breakpad", "--disable-crash-reporter", "--disable-background-networking", "--no-first-run"]
JSON = {"content-type": "application/json"}
ASK = json.dumps({"model": "fast", "stream": True})


@dataclass(frozen=True)
class Act:
    """What the page does, and how the upstream answers the requests that come of it."""

    replies: tuple[Reply, ...]
    does: dict[str, Any] = field(default_factory=dict)


def _fetch(api: str, reply: Reply, **does: Any) -> Act:
    return Act((reply,), {"url": PATHS[api], "headers": JSON, "body": ASK, **does})


def _scene(name: str, **does: Any) -> Act:
    return _fetch("chat_completions", scenes("chat_completions")[name].reply, **does)


def _whole(api: str) -> Reply:
    return scenes(api)["text"].reply


BEGUN = scenes("responses")["a broken stream"].reply
LISTEN = {"listens": True, "url": "/v1/responses/resp_1?stream=true"}
ALLOWED = [("access-control-allow-origin", "*"), ("access-control-allow-headers", "authorization,content-type")]
ACTS = {
    **{api: _fetch(api, _whole(api)) for api in PATHS},
    **{name: _scene(name) for name in ("an error event", "a broken stream", "429", "no answer", "a body")},
    "abort": _scene("leaving", leaves="abort"),
    "cancel": _scene("leaving", leaves="cancel"),
    "events": Act((Reply(chunks=[*_whole("responses").chunks]),), LISTEN),
    "events again": Act((Reply(chunks=[b"retry: 1\nid: 7\n", *BEGUN.chunks], end="rst"), _whole("responses")), LISTEN),
    "close": Act((scenes("responses")["leaving"].reply,), LISTEN | {"leaves": True}),
    "elsewhere": Act(
        (Reply(status=204, headers=ALLOWED), Reply(headers=[EVENTS, *ALLOWED], chunks=_whole("messages").chunks)),
        {"url": f"//localhost:PORT{MESSAGES}", "headers": JSON | {"authorization": "Bearer k"}, "body": ASK},
    ),
    "the browser is closed": _scene("leaving", leaves="later"),
}


@dataclass(frozen=True)
class Shown:
    """One act as it went."""

    told: dict[str, Any]
    """By the page."""
    seen: list[Seen]
    records: list[dict[str, Any]]
    gone: bool
    """In the end the upstream's connection was closed, while the browser lived on unless its end was the act."""


@contextlib.asynccontextmanager
async def browser(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Chromium, which opens this page."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *[programs.chromium(), *FLAGS, f"--user-data-dir={profile}", url],
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@pytest.fixture(scope="module")
def shown() -> dict[str, Shown]:
    """All acts, in one page."""
    programs.chromium()
    return run(_shown(), seconds=60)


async def _shown() -> dict[str, Shown]:
    async with Upstream() as upstream:
        with records() as lines:
            async with serving(config(upstream.url, route={"models": {"fast": "x-1"}, "heartbeat": 0.03})) as url:
                upstream.will(_page(url), *(reply for act in ACTS.values() for reply in act.replies), json_reply({}))
                requests = sum(len(act.replies) for act in ACTS.values()) + 2
                async with browser(f"{url}/page") as process, asyncio.timeout(40):
                    last = await upstream.asked(requests)
                    await last.whole.wait()
                    seen = iter(upstream.seen[1:-1])
                    asked = [[next(seen) for _ in act.replies] for act in ACTS.values()]
                    leaving = [each for each, act in zip(asked, ACTS.values(), strict=True) if "leaves" in act.does]
                    gone = {id(each): await happens(each[-1].gone.is_set, 20) for each in leaving[:-1]}
                    assert not leaving[-1][-1].gone.is_set()
                    process.terminate()
                    gone[id(leaving[-1])] = await happens(leaving[-1][-1].gone.is_set, 20)
                await lines.of(requests)
    of = {line["id"]: line for line in lines}
    return {
        name: Shown(told, seen, [of[each.values("x-request-id")[0]] for each in seen], gone.get(id(seen), False))
        for name, told, seen in zip(ACTS, last.json, asked, strict=True)
    }


def _page(url: str) -> Reply:
    acts = json.dumps([act.does for act in ACTS.values()]).replace("PORT", url.rpartition(":")[2])
    page = Path(__file__).with_name("page.html").read_text("utf-8").replace("ACTS", acts)
    return Reply(headers=[("content-type", "text/html")], chunks=[page.encode()])


@pytest.mark.parametrize("api", PATHS)
def test_fetch_reads_a_stream_as_it_was_meant(shown: dict[str, Shown], api: str) -> None:
    act = shown[api]
    meant = b"".join(STREAM[api](TEXT)).replace(b'"x-1"', b'"fast"')
    keep_alive = get(api).keep_alive
    assert act.told["text"].encode().replace(keep_alive, b"") == meant.replace(keep_alive, b"")
    assert (act.told["status"], act.told["type"]) == (200, "text/event-stream")
    assert (act.records[0]["dialect"], act.records[0]["outcome"]) == (api, "completed")


def test_streams_are_kept_alive_meanwhile(shown: dict[str, Shown]) -> None:
    kept = [shown[api].told["text"].count(get(api).keep_alive.decode()) for api in PATHS]
    meant = [b"".join(STREAM[api](TEXT)).count(get(api).keep_alive) for api in PATHS]
    assert sum(kept) > sum(meant)


@pytest.mark.parametrize(("name", "message"), [("an error event", "no capacity"), ("a broken stream", UPSTREAM_FAILED)])
def test_fetch_reads_an_error_event_at_the_end(shown: dict[str, Shown], name: str, message: str) -> None:
    act = shown[name]
    *_, last, end = act.told["text"].split("\n\n")
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == message
    assert end == ""
    assert (act.told["status"], act.records[0]["outcome"]) == (200, "upstream_error")


@pytest.mark.parametrize(
    ("name", "status", "message"), [("429", 429, "not so fast"), ("no answer", 502, UPSTREAM_FAILED)]
)
def test_fetch_has_the_status_of_an_error(shown: dict[str, Shown], name: str, status: int, message: str) -> None:
    told = shown[name].told
    assert (told["status"], told["type"]) == (status, "application/json")
    assert json.loads(told["text"])["error"]["message"] == message


def test_fetch_reads_a_body(shown: dict[str, Shown]) -> None:
    told = shown["a body"].told
    assert json.loads(told["text"])["model"] == "fast"
    assert json.loads(told["text"])["choices"][0]["message"]["content"] == TEXT.text


@pytest.mark.parametrize("name", ["abort", "cancel", "close", "the browser is closed"])
def test_leaving(shown: dict[str, Shown], name: str) -> None:
    """The first piece was there while the stream went on; then the upstream hears that nobody listens."""
    act = shown[name]
    assert json.dumps(TEXT.texts[0], ensure_ascii=False).strip('"') in act.told["text"]
    assert act.told.get("error") == ("AbortError" if name == "abort" else None)
    assert act.gone
    assert (act.records[0]["status"], act.records[0]["outcome"]) == (200, "cancelled")


def test_event_source(shown: dict[str, Shown]) -> None:
    act = shown["events"]
    assert (act.told["text"], act.told["opened"], act.told["errors"]) == (TEXT.text, 1, [])
    assert (act.records[0]["dialect"], act.records[0]["outcome"]) == ("responses", "completed")


def test_event_source_hears_of_an_error_and_comes_again(shown: dict[str, Shown]) -> None:
    """With the last event's id, and an error of its own for the connection that ended."""
    act, connecting = shown["events again"], 0
    assert act.told["text"] == TEXT.texts[0] + TEXT.text
    assert act.told["errors"] == [UPSTREAM_FAILED, connecting]
    assert [seen.values("last-event-id") for seen in act.seen] == [[], ["7"]]
    assert [line["outcome"] for line in act.records] == ["upstream_error", "completed"]


def test_a_page_from_elsewhere(shown: dict[str, Shown]) -> None:
    """What the upstream allows other origins is the browser's to judge: the gateway passes it on."""
    act = shown["elsewhere"]
    assert [seen.method for seen in act.seen] == ["OPTIONS", "POST"]
    assert act.seen[0].values("access-control-request-headers") == ["authorization,content-type"]
    assert act.seen[1].values("authorization") == ["Bearer k"]
    assert act.told["text"].endswith('data: {"type":"message_stop"}\n\n')
