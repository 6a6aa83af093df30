"""Programs that are no Python. Where one is missing its tests are skipped; in CI they fail."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

NODE = Path(__file__).parents[3] / "node"


def node() -> str:
    """Node.js, which finds the packages of ``tests/node``."""
    program = shutil.which("node") or _missing("there is no node")
    if not (NODE / "node_modules").is_dir():
        _missing("the packages of tests/node are not installed: npm ci --prefix tests/node")
    return program


def chromium() -> str:
    """Chromium, or what is as good."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None) or _missing("there is no chromium")


def _missing(what: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)
