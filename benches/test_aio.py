"""Every way gives the same bytes, and the figures find their places."""

import asyncio
from pathlib import Path

import aio
import pytest
import report
import streams
from aio import Setting
from sse_fast import Rules
from tasks import TASKS

CHAT = streams.stream("chat", 20)
LOOPS = aio.loops()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("source", [aio.ready, aio.suspending])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("way", aio.WAYS)
def test_every_way_does_the_task(way: str, count: int, source: aio.Source, loop: str) -> None:
    outputs: list[bytes] = []
    setting = Setting(loop, source, count, CHAT.events)
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(aio.one_pass(setting, aio.WAYS[way], Rules(TASKS["chat"].rules), outputs.append))
    assert sorted(outputs) == sorted(CHAT.expected * count)
    assert count > 1 or b"".join(outputs) == b"".join(CHAT.expected)


def test_figures_are_written_between_their_marks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    kinds = ("with PGO", "without PGO")
    readme.write_text(
        "".join(f"{kind}\n<!-- aio figures {kind} -->\n<!-- end of aio figures {kind} -->\n" for kind in kinds)
    )
    monkeypatch.setattr(report, "README", readme)
    monkeypatch.setattr(aio.machine, "pgo", lambda: False)
    for lines in (["old"], ["new", r"\1"]):
        aio.write(lines)
    before, _, after = readme.read_text().partition("without PGO\n")
    assert "new" not in before
    assert after == "<!-- aio figures without PGO -->\nnew\n\\1\n<!-- end of aio figures without PGO -->\n"
    readme.write_text("")
    with pytest.raises(ValueError, match=r"README\.md has no '<!-- aio figures without PGO -->'"):
        aio.write([])
