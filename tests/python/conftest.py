from __future__ import annotations

import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("SSE_FAST_HYPOTHESIS_EXAMPLES", "0"))
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=200, suppress_health_check=SLOW)
settings.register_profile("more", deadline=None, max_examples=EXAMPLES or 200, suppress_health_check=SLOW)
settings.load_profile("more" if EXAMPLES else "ci")


# A shell has its background jobs ignore Ctrl-C, and what they start would, too; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LOOPS = {"asyncio": {}} if sys.platform == "win32" else {"asyncio": {}, "uvloop": {"use_uvloop": True}}


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The loops that tests marked ``anyio`` run in."""
    return "asyncio", request.param
