"""The demo and the samples it replays: real shapes, awkward cuts, honest numbers."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from itertools import pairwise

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")
pytest.importorskip("aiohttp")
pytest.importorskip("prometheus_client")
pytest.importorskip("pydantic")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from sse_fast import Rewriter, Rules, samples
from sse_fast.cli import blocks
from sse_fast.cli.demo import run as demo
from sse_fast.cli.demo import upstream
from sse_fast.cli.demo.client import Answer
from sse_fast.cli.demo.scenarios import ALIAS, SCENARIOS, configuration
from sse_fast.cli.demo.serving import serving
from sse_fast.cli.demo.timeline import Timeline
from sse_fast.cli.demo.verdict import Sent, Verdict, judge

IMAGE = 8 << 20
NAMES = [scenario.sample for scenario in SCENARIOS]
CHAT, MESSAGES, RESPONSES = SCENARIOS

needs_posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


@pytest.fixture
def small_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """As large that a chunk does not hold it, and no larger."""
    monkeypatch.setattr(upstream, "sample", lambda name: samples.load(name, image_bytes=20_000))
    monkeypatch.setattr(demo, "sample", upstream.sample)


def payloads(stream: bytes) -> list:
    events = [blocks.read(block, at) for at, block in blocks.split(stream)]
    return [json.loads(event.payload) for event in events if event.payload.startswith(b"{")]


class TestSamples:
    """The samples hold what they are for."""

    @pytest.mark.parametrize("name", samples.NAMES)
    def test_every_sample_passes_untouched_without_rules(self, name):
        stream = samples.load(name, image_bytes=1_000)
        rewriter = Rewriter(Rules([]))
        output = rewriter.feed(stream) + rewriter.finish()
        assert output.startswith(stream)
        assert rewriter.stats.invalid == 0

    def test_chat_completions(self):
        stream = samples.load("chat_completions")
        chunks = payloads(stream)
        assert stream.startswith(b": OPENROUTER PROCESSING\n\n")
        assert stream.endswith(b"data: [DONE]\n\n")
        assert "👋🏽" in stream.decode()
        assert rb"\ud83d" in stream
        assert any(choice["delta"].get("role", "") is None for c in chunks for choice in c.get("choices", ()))
        assert "choices" not in chunks[-1]
        assert chunks[-1]["usage"]["cost"] == 7.5e-05

    def test_messages(self):
        stream = samples.load("messages")
        assert stream.startswith(b"id: ")
        assert b"event: ping\n" in stream
        for at, raw in blocks.split(stream):
            block = blocks.read(raw, at)
            assert json.loads(block.payload)["type"] == block.name

    def test_responses(self):
        stream = samples.load("responses")
        events = payloads(stream)
        assert stream.count(b"\r\n") == stream.count(b"\n")
        assert not stream.endswith(b"\n")
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert [len(event.get("partial_image_b64", "")) for event in events].count(IMAGE) == 1

    def test_the_image_is_the_same_for_the_same_seed(self):
        assert samples.image_event(400) == samples.image_event(400)
        assert samples.image_event(400) != samples.image_event(400, seed=1)
        assert samples.load("responses", image_bytes=0) == b"".join(
            samples.load("responses", image_bytes=400).split(samples.image_event(400))
        )


class TestUpstream:
    """It answers as the APIs do, without a gateway, too."""

    def test_the_cuts_are_awkward(self):
        stream = samples.load("responses", image_bytes=100_000)
        chunks = list(upstream.awkward_chunks(stream))
        assert b"".join(chunks) == stream
        sizes = {len(chunk) for chunk in chunks}
        assert sizes > set(range(1, 41))
        assert max(sizes) == upstream.SEGMENT
        chunks += upstream.awkward_chunks(samples.load("chat_completions"))
        cuts = [(before[-1:], after[:1]) for before, after in pairwise(chunks)]
        assert (b"\r", b"\n") in cuts
        assert any(before.isalpha() and after.isalpha() for before, after in cuts)
        assert any(b"\x80" <= after < b"\xc0" for _, after in cuts)

    @pytest.mark.usefixtures("small_image")
    def test_event_streams(self):
        async def scenario() -> None:
            served = upstream.Upstream(pause=0.0)
            async with serving(served) as url, demo.ClientSession() as session:
                for each in SCENARIOS:
                    seen = []
                    answer = await demo.ask(session, url + each.path, each.request, seen.append)
                    assert answer.status == 200
                    assert answer.headers["content-type"].startswith("text/event-stream")
                    assert answer.body == upstream.sample(each.sample)
                    assert len(served.sent) == len(list(upstream.awkward_chunks(answer.body)))
                    assert len(seen) in (answer.body.count(b"data: "), answer.body.count(b"data: ") - 1)
                    assert served.model == ALIAS

        asyncio.run(scenario())

    def test_it_takes_its_time(self):
        async def scenario() -> float:
            served = upstream.Upstream(pause=0.002)
            async with serving(served) as url, demo.ClientSession() as session:
                await demo.ask(session, url + MESSAGES.path, MESSAGES.request, lambda event: None)
                return served.sent.when(10_000) - served.sent.when(1)

        assert asyncio.run(scenario()) > 0.002 * 100

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("chat_completions", ["Grüße aus Köln 👋🏽!\n東京は晴れです。", 55, "chat.completion"]),
            ("messages", ["Let me look up the weather in Zürich and São Paulo ☀️.", {"city": "Zürich"}, 89, "tool_use"]),
            ("responses", ["Ein Fuchs 🦊 über dem Zürichsee.", 4245, "completed"]),
        ],
    )
    def test_json_bodies(self, name, expected):
        text = json.dumps(upstream.whole(name), ensure_ascii=False)
        for value in expected:
            assert json.dumps(value, ensure_ascii=False)[1:-1] in text

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'"model"'])
    def test_what_is_no_request_is_refused(self, body):
        async def scenario() -> int:
            async with (
                serving(upstream.Upstream()) as url,
                demo.ClientSession() as session,
                session.post(url + "/v1/messages", data=body) as response,
            ):
                return response.status

        assert asyncio.run(scenario()) == 400


def judged(
    scenario=CHAT, *, stream: bytes | None = None, body: bytes | None = None, model: str | None = None, **changes
) -> Verdict:
    """Of an answer that is right but for what is given."""
    stream = samples.load(scenario.sample, image_bytes=0) if stream is None else stream
    config = configuration("http://upstream")
    sent = Sent(stream, model or scenario.model, moments(upstream.awkward_chunks(stream)))
    whole = Answer(200, {"content-type": "text/event-stream"}, b"", Timeline(), 0.0)
    right = b"".join(pair.new for pair in judge(scenario, config, sent, whole, None).pairs)
    body = right if body is None else body
    record = {"model": ALIAS, "upstream_model": scenario.model, "outcome": "completed", "usage": scenario.usage}
    answer = replace(whole, body=body, came=moments([body]), status=changes.pop("status", 200))
    return judge(scenario, config, sent, answer, {**record, **changes})


def moments(chunks) -> Timeline:
    timeline = Timeline()
    for number, chunk in enumerate(chunks):
        timeline.add(len(chunk), float(number))
    return timeline


class TestVerdict:
    """The numbers are measured and the checks can fail."""

    @pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
    def test_all_is_well(self, scenario):
        verdict = judged(scenario)
        assert verdict.problems == []
        assert verdict.changed
        assert 0 < verdict.untouched < len(verdict.sent.stream)
        assert verdict.edits >= len(verdict.changed)

    def test_the_numbers_of_a_small_stream(self):
        scenario = replace(
            MESSAGES,
            expected=lambda events: [("message", {"type": "a", "usage": {"a": 1}}), ("message", {"type": "b"})],
        )
        stream = b'data: {"type":"a","usage":{"a":1,"cost":2}}\n\ndata: {"type":"b"}\n\n'
        verdict = judged(scenario, stream=stream)
        assert verdict.problems == []
        assert (verdict.events, len(verdict.changed), verdict.edits) == (2, 1, 1)
        assert verdict.untouched == len(stream) - len(',"cost":2')

    def test_an_event_s_way(self):
        verdict = judged(MESSAGES)
        ends = [pair.at + len(pair.old) for pair in verdict.pairs]
        assert verdict.way == -sorted(verdict.sent.times.when(end) for end in ends)[len(ends) // 2]

    def test_the_time_of_a_byte(self):
        timeline = moments([b"ab", b"c"])
        assert [timeline.when(offset) for offset in (1, 2, 3, 4)] == [0.0, 0.0, 1.0, 1.0]
        assert len(timeline) == 2

    @pytest.mark.parametrize(
        ("wrong", "problem"),
        [
            ({"status": 502}, "no event stream"),
            ({"model": ALIAS}, "the upstream was asked for the model 'gateway-fast'"),
            ({"outcome": "truncated"}, "what the gateway tells"),
            ({"upstream_model": ALIAS}, "what the gateway tells"),
            ({"usage": {**CHAT.usage, "output": 35}}, "what the gateway tells"),
            ({"scenario": replace(CHAT, expected=lambda events: events[1:])}, "the parsed output"),
            ({"scenario": replace(CHAT, comments=None)}, "the comments"),
        ],
    )
    def test_what_is_wrong_is_found(self, wrong, problem):
        (found,) = judged(**wrong).problems
        assert problem in found

    @pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
    def test_a_wrong_byte_is_found(self, scenario):
        right = judged(scenario).answer.body
        for place in range(5, len(right), len(right) // 12):
            wrong = right[:place] + bytes([right[place] ^ 1]) + right[place + 1 :]
            try:
                assert judged(scenario, body=wrong).problems
            except ValueError:  # it is not even JSON, or UTF-8
                continue

    def test_an_answer_that_is_not_whole_is_found(self):
        right = judged(RESPONSES).answer.body
        assert "a client would not dispatch every event" in judged(RESPONSES, body=right[:-2]).problems

    def test_a_request_of_which_nothing_is_told_is_found(self):
        verdict = judged()
        config = configuration("http://upstream")
        (problem,) = judge(CHAT, config, verdict.sent, verdict.answer, None).problems
        assert "what the gateway tells" in problem


@pytest.mark.usefixtures("small_image")
class TestDemo:
    """All of it, quick."""

    def test_it_is_right(self, capfd):
        assert demo.run(pause=0.0) == 0
        out, err = capfd.readouterr()
        assert err == ""
        assert "Checked:" in out

    def test_a_problem_ends_it_with_1_even_where_it_should_stay(self, capfd):
        wrong = replace(MESSAGES, settings=MESSAGES.settings.replace("claude-", "another-"))
        assert demo.run(scenarios=[wrong], pause=0.0, stay=True) == 1
        out = capfd.readouterr().out
        assert "WRONG: messages: the upstream was asked for the model 'another-sample-5-20260101'" in out
        assert "Checked:" not in out

    def test_a_pipe_that_is_not_utf8(self, monkeypatch):
        out = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
        monkeypatch.setattr(sys, "stdout", out)
        assert demo.run(pause=0.0) == 0
        out.flush()
        assert b"Ein Fuchs \\U0001f98a \xfcber dem Z\xfcrichsee." in out.buffer.getvalue()

    def test_it_listens_and_leaves_nothing_behind(self):
        logger = demo.logging.getLogger("sse_fast.gateway.requests")
        before = list(logger.handlers), logger.level, signal.getsignal(signal.SIGINT)
        assert demo.run(scenarios=[CHAT], pause=0.0) == 0
        assert (list(logger.handlers), logger.level, signal.getsignal(signal.SIGINT)) == before


def test_without_the_extra_it_says_so():
    script = (
        "import sys; sys.modules['aiohttp'] = None; sys.argv[1:] = ['demo']; import sse_fast.cli; sse_fast.cli.main()"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "sse-fast: the demo needs aiohttp, which is not installed: pip install 'sse_fast[gateway]'\n"
    )


def test_the_demo_shows_everything_and_ends_well():
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    ended = subprocess.run([sys.executable, "-m", "sse_fast", "demo"], capture_output=True, env=environment, timeout=60)
    out = ended.stdout.decode()
    assert ended.returncode == 0, out
    assert ended.stderr == b""
    assert "\x1b" not in out
    assert "Grüße aus Köln 👋🏽!" in out  # as it flows
    assert "partial_image, 8,388,827 characters›" in out
    assert '"model":"acme/quill-large-2026-01"' in out
    assert '"model":"gateway-fast"' in out
    assert "+ : keep-alive" in out
    assert "dropped" in out
    assert '"usage": {"input": 21, "output": 34, "total": 55, "reasoning": 0, "cost": 7.5e-05}' in out
    for label in ("chunks from the upstream", "events", "edits", "bytes untouched", "first byte", "tokens out"):
        assert f" {label} " in out
    assert "Checked:" in out
    assert max(map(len, out.splitlines())) < 1_000


@needs_posix
def test_open_goes_on_until_ctrl_c():
    command = [sys.executable, "-m", "sse_fast", "demo", "--open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            lines = iter(lambda: child.stdout.readline().decode(), "")
            url = next(match[1] for line in lines if (match := re.search(r"OPENAI_BASE_URL=(\S+)/v1 ", line)))
            body = json.dumps({"model": ALIAS, "input": "Hello"}).encode()
            request = urllib.request.Request(f"{url}/v1/responses", body, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert json.load(answer)["model"] == ALIAS
            assert next(json.loads(line)["route"] for line in lines if line.startswith("{")) == "responses"

            body = json.dumps({"model": ALIAS, "stream": True}).encode()
            request = urllib.request.Request(f"{url}/v1/responses", body, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read(100)
                child.send_signal(signal.SIGINT)
                assert b"event: error" in answer.read()
            start = time.monotonic()
            assert child.wait(30) == 130
            assert time.monotonic() - start < 20
            assert child.stderr.read() == b""
        finally:
            child.kill()


@needs_posix
@pytest.mark.parametrize("lines", [0, 12])
def test_a_reader_that_goes_away(lines):
    with subprocess.Popen(
        [sys.executable, "-m", "sse_fast", "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        for _ in range(lines):
            child.stdout.readline()
        child.stdout.close()
        assert child.wait(30) == 141
        assert child.stderr.read() == b""
