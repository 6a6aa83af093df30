"""The same for synchronous code: `rewrite_iter`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from aio_peers import RULES, event
from sse_fast import Rewriter, TruncatedError
from sse_fast.aio import StreamReport, rewrite_iter


class SyncUpstream:
    def __init__(self, *script: Any) -> None:
        self.script = script
        self.closings = 0

    def __iter__(self) -> Iterator[bytes]:
        for step in self.script:
            if isinstance(step, BaseException):
                raise step
            yield step

    def close(self) -> None:
        self.closings += 1


def rewritten(upstream: Iterable[bytes], reports: list[StreamReport], **options: Any) -> Iterator[bytes]:
    return rewrite_iter(upstream, Rewriter(RULES), on_end=reports.append, **options)


def test_rewrite_iter_is_the_same() -> None:
    for script, errors, outputs, outcome in [
        ([event(1), event(2)[:9], event(2)[9:-1]], "raise", [event(1, "alias"), event(2, "alias")], "completed"),
        ([event(1), event(2)[:9]], "raise", [event(1, "alias"), TruncatedError], "truncated"),
        ([event(1), OSError()], "raise", [event(1, "alias"), OSError], "upstream_error"),
        ([event(1), OSError()], "event", [event(1, "alias"), b"event: error\n"], "upstream_error"),
    ]:
        upstream, reports, seen = SyncUpstream(*script), [], []
        iterator = rewritten(upstream, reports, errors=errors)
        try:
            for output in iterator:
                seen.append(output)
        except (TruncatedError, OSError) as error:
            seen.append(type(error))
        assert upstream.closings == 1
        assert [report.outcome for report in reports] == [outcome]
        assert seen[:-1] == outputs[:-1]
        assert seen[-1] == outputs[-1] or seen[-1].startswith(outputs[-1])


def test_rewrite_iter_closes() -> None:
    for begins in True, False:
        upstream, reports = SyncUpstream(event(1), event(2)), []
        with rewrite_iter(upstream, Rewriter(RULES), on_end=reports.append) as iterator:
            if begins:
                assert next(iterator) == event(1, "alias")
        iterator.close()
        assert upstream.closings == 1
        assert [report.outcome for report in reports] == ["cancelled"]
        assert iterator.report == reports[0]
        assert list(iterator) == []


def test_rewrite_iter_closes_before_it_tells_of_an_error() -> None:
    upstream = SyncUpstream(event(1), OSError())
    iterator = rewrite_iter(upstream, Rewriter(RULES), errors="event")
    assert next(iterator) == event(1, "alias")
    assert upstream.closings == 0
    assert next(iterator).startswith(b"event: error\n")
    assert upstream.closings == 1


def test_an_interrupt_while_it_closes_leaves_nothing_open() -> None:
    closed, reports = [], []

    class Chunks:
        def __iter__(self) -> Chunks:
            return self

        def __next__(self) -> bytes:
            return event(1)

        def close(self) -> None:
            closed.append("chunks")
            raise KeyboardInterrupt

    class Owner:
        def __iter__(self) -> Chunks:
            return Chunks()

        def close(self) -> None:
            closed.append("owner")

    outputs = rewrite_iter(Owner(), Rewriter([]), on_end=reports.append)
    next(outputs)
    with pytest.raises(KeyboardInterrupt):
        outputs.close()
    assert closed == ["chunks", "owner"]
    assert [report.outcome for report in reports] == ["cancelled"]
