"""Errors of use, and which library is there."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from sse_fast.httpx import RewriteTransport

from transport.peers import RULES, Kit


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"errors": "ignore"}, ValueError, "errors must be 'raise' or 'event'"),
        ({"max_body": -1}, ValueError, "max_body must not be negative: -1"),
        ({"idle_timeout": 0}, ValueError, "idle_timeout must be more than 0 seconds"),
        ({"max_held": 0}, ValueError, "max_held"),
        ({"on_invalid": "ignore"}, ValueError, "on_invalid"),
    ],
)
def test_a_mistake_shows_where_the_transport_is_made(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RewriteTransport(RULES, **options)


@pytest.mark.anyio
async def test_a_transport_of_the_other_kind_is_told(kit: Kit) -> None:
    other = kit.library.HTTPTransport() if kit.is_async else kit.library.AsyncHTTPTransport()
    with pytest.raises(TypeError, match=r"HTTPTransport, which has no handle_(async_)?request for this client"):
        await kit.get(RewriteTransport(RULES, transport=other))


def test_a_request_of_another_library_is_told() -> None:
    with pytest.raises(TypeError, match="request is a str: it must be a Request of httpx or httpx2"):
        RewriteTransport(RULES).handle_request("GET /")


def _python(*lines: str) -> str:
    ran = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60)
    return ran.stdout + ran.stderr


def test_without_a_library_the_import_says_what_is_missing() -> None:
    hidden = "import sys; sys.modules['httpx'] = sys.modules['httpx2'] = None"
    output = _python(hidden, "import sse_fast.httpx")
    assert output.rstrip().endswith("ImportError: sse_fast.httpx needs httpx or httpx2: pip install httpx")


def test_a_library_that_is_there_and_broken_is_told_as_it_is() -> None:
    output = _python("import sys; sys.modules['idna'] = None", "import sse_fast.httpx")
    assert "ModuleNotFoundError: import of idna halted" in output.rstrip().splitlines()[-1]


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_either_library_will_do(name: str) -> None:
    pytest.importorskip(name)
    other = {"httpx": "httpx2", "httpx2": "httpx"}[name]
    hidden = f"import sys; sys.modules[{other!r}] = None"
    made = f"import {name}, sse_fast.httpx; {name}.Client(transport=sse_fast.httpx.RewriteTransport([])); print('made')"
    assert _python(hidden, made) == "made\n"


def test_httpx2_may_take_the_name_of_httpx() -> None:
    if not hasattr(pytest.importorskip("httpx2"), "alias_httpx"):
        pytest.skip("this httpx2 knows no alias")
    made = "import httpx, sse_fast.httpx; httpx.Client(transport=sse_fast.httpx.RewriteTransport([])); print('made')"
    assert _python("import httpx2; httpx2.alias_httpx()", made) == "made\n"
