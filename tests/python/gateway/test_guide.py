"""docs/gateway.md holds: its keys, its defaults, its configurations, and those of what stands in front."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import httpx
import pytest
from live.watch import run
from sse_fast.gateway import Config

from gateway.bodies import CHAT, CHAT_STREAM, ask
from gateway.proxies import fronts
from gateway.running import config, records, serving
from gateway.upstream import Reply, Upstream

GUIDE = (Path(__file__).parents[3] / "docs" / "gateway.md").read_text("utf-8")
ROUTE = {"path": "/", "upstreams": [{"url": "http://a"}]}
PLAIN = Config.model_validate({"routes": [ROUTE]})
TABLES = [PLAIN, PLAIN.timeouts, PLAIN.routes[0], PLAIN.routes[0].upstreams[0]]
EXPECTED = b"".join(CHAT_STREAM).replace(b'"real-1"', b'"fast"')


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, flags=re.M | re.S)


def rows(table: int) -> dict[str, str]:
    """Of this table of keys: what each says of its default."""
    first = GUIDE.index("## Configure it")
    tables = GUIDE[first : GUIDE.index("\n## ", first)].split("| key |")[1:]
    pairs = re.findall(r"^\| (`.+?) \| (.+?) \|", tables[table], flags=re.M)
    return {key: default for keys, default in pairs for key in re.findall(r"`(\w+)`", keys)}


@pytest.mark.parametrize("table", range(4))
def test_it_has_every_key_with_its_default(table: int) -> None:
    said, settings = rows(table), TABLES[table]
    assert said.keys() == type(settings).model_fields.keys() - {"timeouts", "routes"}
    for name, default in said.items():
        value = getattr(settings, name)
        match default.strip('`"').split(" "):
            case [number, "MiB"]:
                assert int(number) << 20 == value
            case [number] if isinstance(value, float | int) and not isinstance(value, bool):
                assert float(number) == value
            case [text] if text not in ("none", "never"):
                assert str(value).lower() == text
            case ["none" | "never"] | ["the" | "as" | "by" | "its", *_]:
                assert not value
            case words:
                assert words == ["must", "be", "there"]


def test_its_configurations_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    assert len(blocks("toml")) >= 4
    for block in blocks("toml"):
        settings = tomllib.loads(block)
        Config.model_validate(settings if "routes" in settings else {"routes": [{**ROUTE, **settings}]})


def test_what_is_told() -> None:
    async def scenario() -> None:
        async with Upstream() as upstream, serving(config(upstream.url)) as url, httpx.AsyncClient() as http:
            upstream.will(Reply(status=503), Reply(chunks=CHAT_STREAM))
            with records() as told:
                for _ in range(2):
                    await http.post(url + CHAT, json=ask())
                await told.of(2)
            tells = GUIDE[GUIDE.index("## What it tells") : GUIDE.index("## Behind")]
            for name in told[1]:
                assert f"`{name}`" in tells
            for metric in set(
                re.findall(r"^# TYPE (sse_fast_\w+)", (await http.get(url + "/metrics")).text, flags=re.M)
            ):
                assert metric.endswith("_created") or f"`{metric}`" in tells

    run(scenario())


def test_its_nginx(tmp_path: Path) -> None:
    binary = fronts.program("nginx", "apt-get install nginx-light")
    openssl = fronts.program("openssl", "apt-get install openssl")
    names = ["-keyout", "llm.example.com.key", "-out", "llm.example.com.pem", "-subj", "/CN=llm.example.com"]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    (block,) = blocks("nginx")

    async def scenario() -> None:
        async with Upstream() as upstream, serving(config(upstream.url, route={"models": {"fast": "real-1"}})) as url:
            upstream.will(Reply(chunks=CHAT_STREAM))
            with fronts.reserved() as port:
                text = block.replace("127.0.0.1:8080", url.removeprefix("http://")).replace("/etc/ssl", str(tmp_path))
                text = text.replace("listen 443", f"listen 127.0.0.1:{port} reuseport")
                paths = "".join(
                    f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
                )
                head = "daemon off; master_process off; pid nginx.pid; events {} http { access_log off;"
                (tmp_path / "nginx.conf").write_text(f"{head} {paths}\n{text} }}")
                log = tmp_path / "error.log"
                async with fronts.running(port, log, binary, "-p", tmp_path, "-c", "nginx.conf", "-e", log) as front:
                    secure = front.replace("http://", "https://")
                    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
                        response = await http.post(secure + CHAT, json=ask())
                        assert (response.status_code, response.content) == (200, EXPECTED)
                        assert (await http.get(secure + "/metrics")).status_code == 404

    run(scenario())


def test_what_stands_in_front_takes_and_waits_more_than_the_gateway() -> None:
    def numbers(pattern: str) -> list[int]:
        return [int(number) for number in re.findall(pattern, GUIDE)]

    timeouts = PLAIN.timeouts
    (body,) = numbers(r"client_max_body_size (\d+)m;")
    assert body << 20 > PLAIN.max_request_bytes
    waits = numbers(r"(?:proxy_read_timeout |stream_idle_timeout: )(\d+)s\b")
    assert len(waits) == 2
    assert min(waits) > timeouts.answer + timeouts.hold
    (kept,) = numbers(r"[^_]idle_timeout: (\d+)s\b")
    assert kept < timeouts.keep_alive


def test_the_error_that_it_shows() -> None:
    (shown,) = re.findall(r"^sse-fast: gateway.toml: (.*)$", GUIDE, flags=re.M)
    rules = [{"op": "remove", "path": "$.a[-1]"}]
    with pytest.raises(ValueError, match=re.escape(shown.partition("rule 0: ")[2])):
        Config.model_validate({"routes": [{**ROUTE, "rules": rules}]})
