from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.proxies.fronts import Envoy, Front, Nginx, documented

FRONTS: dict[str, Callable[[Path], Front]] = {
    # HTTP/1.0 to the gateway, a connection for each request
    "nginx": lambda directory: Nginx(directory, Nginx.SITE),
    "nginx-documented": lambda directory: Nginx(directory, documented("nginx")),
    "envoy-documented": lambda directory: Envoy(directory, documented("yaml")),
}


@pytest.fixture(params=FRONTS.values(), ids=FRONTS)
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Front:
    """Each proxy, as it comes and as our documentation configures it."""
    return request.param(tmp_path)


@pytest.fixture
def nginx(tmp_path: Path) -> Nginx:
    """It, as it comes."""
    return Nginx(tmp_path, Nginx.SITE)


@pytest.fixture
def envoy(tmp_path: Path) -> Envoy:
    """It, as our documentation configures it."""
    return Envoy(tmp_path, documented("yaml"))
