from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

# The peers use Unix's sockets and its limits.
collect_ignore_glob = ["test_*.py"] if sys.platform == "win32" else []


@pytest.fixture(autouse=True, scope="session")
def _what_is_imported_stays() -> Iterator[None]:
    """`live.watch` collects garbage after each test: half of the time went into looking at modules."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
