"""A configuration, or an environment, that would break out of a header, a path or an event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sse_fast.gateway import ConfigError, load

from gateway.observed import toml

URL = "http://127.0.0.1:9"
BREAKS = {
    "CR LF": "a\r\nx: y",
    "LF": "a\n",
    "CR": "a\rb",
    "NUL": "a\0b",
    "a control character": "a\x01b",
    "DEL": "a\x7f",
}


def refused(tmp_path: Path, settings: dict[str, Any]) -> str:
    """What is said of it, before a port opens."""
    file = tmp_path / "gateway.toml"
    file.write_text("".join(f"{name} = {toml(value)}\n" for name, value in settings.items()))
    with pytest.raises(ConfigError) as raised:
        load(file)
    return str(raised.value)


def with_route(**settings: Any) -> dict[str, Any]:
    return {"routes": [{"path": "/v1", "upstreams": [{"url": URL}], **settings}]}


@pytest.mark.parametrize("text", [text for name, text in BREAKS.items() if name != "NUL"])
def test_a_key_that_is_no_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Which an environment cannot hold with a NUL. The message names the variable, and keeps the key to itself."""
    settings = with_route(upstreams=[{"url": URL, "api_key_env": "KEY"}])
    monkeypatch.setenv("KEY", f"sk-secret{text}")
    said = refused(tmp_path, settings)
    assert "KEY" in said
    assert "sk-secret" not in said


@pytest.mark.parametrize("text", BREAKS.values(), ids=BREAKS)
def test_a_text_that_breaks_out(tmp_path: Path, text: str) -> None:
    assert "routes[0].path:" in refused(tmp_path, with_route(path=f"/{text}"))
    assert "routes[0].upstreams[0].url:" in refused(tmp_path, with_route(upstreams=[{"url": f"{URL}/{text}"}]))


@pytest.mark.parametrize("text", ["a\r\nb", "a\n\ndata: {}", "a\rb"])
def test_a_comment_that_is_more_than_one_line(tmp_path: Path, text: str) -> None:
    assert "comments" in refused(tmp_path, with_route(comments=text))


@pytest.mark.parametrize(
    "url",
    [
        "http://user:sk-secret@host/",
        "http://host/?key=sk-secret",
        "http://host/#x",
        "http:///v1",
        "http://host\\@other",
        "http://host:port",
        "http://host:99999",
        "http://[::1",
        "file:///etc/passwd",
        "gopher://host/",
        "//host/v1",
        "host/v1",
    ],
)
def test_a_url_that_is_not_only_a_place(tmp_path: Path, url: str) -> None:
    said = refused(tmp_path, with_route(upstreams=[{"url": url}]))
    assert "routes[0].upstreams[0].url" in said


def test_many_problems_are_told_together(tmp_path: Path) -> None:
    settings = {
        **with_route(path="v1", heartbeat=-1, rules=[{"op": "remove", "path": "$.a[-1]"}]),
        "workers": 0,
        "x": 1,
    }
    said = refused(tmp_path, settings).splitlines()
    keys = ["workers", "routes[0].path", "routes[0].heartbeat", "routes[0].rules", "x"]
    assert all(any(f"gateway.toml: {key}:" in line for line in said) for key in keys), said
