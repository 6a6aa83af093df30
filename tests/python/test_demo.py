"""The demo and the samples it replays: real shapes, awkward cuts, honest numbers."""

import json
import subprocess
import sys
from itertools import pairwise

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from sse_fast import Remove, Rewriter, Rules, samples
from sse_fast.cli import blocks, demo, replay
from sse_fast.cli.app import run
from sse_fast.cli.scenarios import SCENARIOS, Scenario

IMAGE = 8 << 20


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


class TestReplay:
    """The numbers of the demo are measured and its checks can fail."""

    def test_the_cuts_are_awkward(self):
        stream = samples.load("responses", image_bytes=100_000)
        chunks = list(replay.awkward_chunks(stream))
        assert b"".join(chunks) == stream
        sizes = {len(chunk) for chunk in chunks}
        assert sizes > set(range(1, 41))
        assert max(sizes) == replay.SEGMENT
        chunks += replay.awkward_chunks(samples.load("chat_completions"))
        cuts = [(before[-1:], after[:1]) for before, after in pairwise(chunks)]
        assert (b"\r", b"\n") in cuts
        assert any(before.isalpha() and after.isalpha() for before, after in cuts)
        assert any(b"\x80" <= after < b"\xc0" for _, after in cuts)

    @pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.sample)
    def test_all_is_well(self, scenario):
        measured = replay.replay(scenario, samples.load(scenario.sample, image_bytes=100_000))
        assert measured.problems == []
        assert measured.changed
        assert 0 < measured.touched < measured.bytes_in
        assert measured.edits >= len(measured.changed)

    def test_the_numbers_of_a_small_stream(self):
        scenario = Scenario("small", Rules([Remove("$.b")]), lambda events: [("message", {"a": 1})] * 2)
        stream = b'data: {"a":1,"b":2}\n\ndata: {"a":1}\n\n'
        measured = replay.replay(scenario, stream)
        assert measured.problems == []
        assert (measured.events, len(measured.changed), measured.edits) == (2, 1, 1)
        assert (measured.bytes_in, measured.touched) == (len(stream), len(',"b":2'))
        assert 0 < measured.largest_held < 20

    def test_a_large_event_is_not_held_whole(self):
        scenario = SCENARIOS[2]
        measured = replay.replay(scenario, samples.load(scenario.sample))
        assert measured.problems == []
        assert 1_000 < measured.largest_held <= 2 * (1 << 20) + 4096

    @pytest.mark.parametrize(
        ("scenario", "problem"),
        [
            (Scenario("x", Rules([]), lambda events: events[1:]), "parsed output"),
            (Scenario("x", Rules([]), lambda events: events, comments="drop"), "comments"),
        ],
    )
    def test_a_wrong_output_is_found(self, scenario, problem):
        (found,) = replay.replay(scenario, b': c\n\ndata: {"a":1}\n\n').problems
        assert problem in found

    def test_a_problem_ends_the_demo_with_1(self, monkeypatch, capfd):
        wrong = Scenario("messages", Rules([Remove("$.message.model")]), lambda events: events)
        monkeypatch.setattr(demo, "SCENARIOS", (wrong,))
        assert run(["demo"]) == 1
        assert "WRONG: messages: the parsed output" in capfd.readouterr().out


def test_the_demo_shows_everything_and_ends_well():
    ended = subprocess.run([sys.executable, "-m", "sse_fast", "demo"], capture_output=True, timeout=60)
    out = ended.stdout.decode()
    assert ended.returncode == 0, out
    assert ended.stderr == b""
    assert "\x1b" not in out
    assert '"model":"acme/quill-large-2026-01"' in out
    assert '"model":"gateway-fast"' in out
    assert "+ : keep-alive" in out
    assert "dropped" in out
    for label in ("events", "edits", "bytes untouched", "most bytes held", "time"):
        assert f" {label} " in out
    assert "Checked:" in out
    assert max(map(len, out.splitlines())) < 400
