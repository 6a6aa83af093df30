"""The loop and the clients that these tests run with."""

from __future__ import annotations

import pytest

from transport.peers import Kit


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["httpx async", "httpx sync", "httpx2 async", "httpx2 sync"])
def kit(request: pytest.FixtureRequest) -> Kit:
    library, kind = request.param.split()
    return Kit(pytest.importorskip(library), kind == "async")
