"""What a configuration may say, and how a wrong one is told."""

from __future__ import annotations

import asyncio
import pickle
import re
import socket
import sys
from pathlib import Path

import pytest
from sse_fast import Rules
from sse_fast.gateway import Config, ConfigError, create_app, load
from sse_fast.gateway.routes import Route, find

EXAMPLE = Path(__file__).parents[3] / "docs" / "gateway.toml"
ROUTE = '[[routes]]\npath = "/v1"\nupstreams = [{ url = "http://a" }]\n'


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.setenv(name, "sk-1")


@pytest.mark.usefixtures("keys")
def test_the_example() -> None:
    config = load(EXAMPLE)
    create_app(config)
    assert config.routes[0].rules == Rules.from_json('[{"op": "remove", "path": "$.service_tier"}]')
    assert pickle.loads(pickle.dumps(config)) == config  # as workers get it


@pytest.mark.usefixtures("keys")
def test_the_example_has_every_key_with_its_default() -> None:
    text = re.sub(r"^# (\w+ = )", r"\1", EXAMPLE.read_text(), flags=re.M)
    keys = set(re.findall(r"^(\w+) = ", text, flags=re.M))
    config = load(EXAMPLE)
    models = [Config, type(config.timeouts), type(config.routes[0]), type(config.routes[0].upstreams[0])]
    assert keys | {"routes", "upstreams", "timeouts"} == {name for model in models for name in model.model_fields}
    plain = Config.model_validate({"routes": [{"path": "/", "upstreams": [{"url": "http://a"}]}]})
    for name, value in re.findall(r"^# (\w+) = ([\d.]+|\"[^\"]+\")", EXAMPLE.read_text(), flags=re.M):
        default = getattr(plain, name, getattr(plain.timeouts, name, None))
        if default is not None:
            assert str(default) == value.strip('"'), name


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(file)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    return [line.removeprefix(f"{file}: ") for line in lines]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "routes: it is missing"),
        ("routes = []", "routes: list should have at least 1 item"),
        ('listen = "8080"\n' + ROUTE, "listen: it must be host:port, as 127.0.0.1:8080"),
        ('listen = "127.0.0.1:65536"\n' + ROUTE, "the port at most 65535"),
        ("max_request_bytes = 9223372036854775808\n" + ROUTE, "max_request_bytes: input should be less than"),
        ("workers = 0\n" + ROUTE, "workers: input should be greater than or equal to 1"),
        ("workers = true\n" + ROUTE, "workers: input should be a valid integer"),
        ("listens = 1\n" + ROUTE, "listens: there is no such key"),
        ("[timeouts]\nidle = 0\n" + ROUTE, "timeouts.idle: input should be greater than 0"),
        ("[timeouts]\nidle = nan\n" + ROUTE, "timeouts.idle: input should be"),
        (ROUTE.replace("/v1", "v1"), "routes[0].path: it must be a path, as /v1"),
        (ROUTE.replace("/v1", "/caf%C3%A9"), "routes[0].path: it must be a path, as /v1, not percent-encoded"),
        (ROUTE.replace("/v1", "/v1/../x"), "routes[0].path: it must be a path, as /v1"),
        (ROUTE.replace("/v1", "/healthz"), "routes[0].path: it must be a path, as /v1"),
        (ROUTE.replace("http://a", "http://a..b"), "routes[0].upstreams[0].url: "),
        (ROUTE.replace("http://a", f"http://{'a' * 64}.com"), "routes[0].upstreams[0].url: "),
        (ROUTE.replace("http://a", "http://a:65536"), "routes[0].upstreams[0].url: "),
        (ROUTE.replace("http://a", "ftp://a"), "routes[0].upstreams[0].url: it must be http:// or https://"),
        (ROUTE.replace("http://a", "http://me:secret@a"), "routes[0].upstreams[0].url: it must be"),
        (ROUTE.replace("http://a", "http://a?key=1"), "routes[0].upstreams[0].url: it must be"),
        (ROUTE.replace('"http://a"', '"http://a", api_key_env = "NONE_SUCH"'), "no variable NONE_SUCH"),
        (ROUTE.replace('"http://a"', '"http://a", api_key_env = ""'), "api_key_env: it must be the name of a variable"),
        (ROUTE.replace('"http://a"', '"http://a", api_key_env = "sk-secret"'), "it must be the name of a variable"),
        (ROUTE + 'rules = [{ op = "remove", path = "$.a[-1]" }]', "routes[0].rules: rule 0: path '$.a[-1]': negative"),
        (ROUTE + 'rules = [{ op = "cut" }]', "routes[0].rules: rule 0: 'op' is 'cut'"),
        (ROUTE + "rules = 1", "routes[0].rules: the rules are a JSON list"),
        (ROUTE + 'models = { a = "b" }\nrules = [{ op = "set", path = "$.model", value = 1 }]', "path '$.model'"),
        (ROUTE + 'models = { a = "b" }\nrequest_rules = [{ op = "remove", path = "$.model" }]', "path '$.model'"),
        (ROUTE + 'comments = "a\\nb"', "routes[0]: comments"),
        (ROUTE + 'dialect = "x"', "routes[0].dialect: input should be 'chat_completions'"),
        (ROUTE + ROUTE, "two routes have the path '/v1'"),
        ("x = [", "Invalid value"),
    ],
)
def test_a_problem_is_one_line_with_its_key(tmp_path: Path, text: str, problem: str) -> None:
    (line,) = problems(tmp_path, text)
    assert problem in line
    assert "secret" not in line


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = 'listen = "x"\n' + ROUTE.replace("/v1", "v1") + "heartbeat = 0\n" + ROUTE.replace("http:", "x:")
    assert [line.split(": ")[0] for line in problems(tmp_path, text)] == [
        *("listen", "routes[0].path", "routes[0].heartbeat", "routes[1].upstreams[0].url")
    ]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="utf-8"):
        load(tmp_path / "gateway.toml")


def test_the_longest_path_serves() -> None:
    config = Config.model_validate(
        {"routes": [{"path": path, "upstreams": [{"url": "http://a"}]} for path in ("/v1", "/v1/chat/", "/")]}
    )
    routes = [Route(each) for each in config.routes]
    for path, route in {
        "/v1": "/v1",
        "/v1/models": "/v1",
        "/v1/chat": "/v1/chat",
        "/v1/chat/completions": "/v1/chat",
        "/v1/chats": "/v1",
        "/v10": "/",
        "/": "/",
    }.items():
        found = find(routes, path)
        assert found is not None
        assert found.name == route
    assert find(routes[:2], "/v10") is None


async def command(*arguments: str) -> tuple[int | None, str]:
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "sse_fast", "gateway", *arguments],
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(child.communicate(), 30)
    return child.returncode, errors.decode()


def test_the_command_tells_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('listen = "x"\nroutes = []')
    code, errors = asyncio.run(command("--config", str(file)))
    assert code == 2
    assert next(line.partition(" it ")[0] for line in errors.splitlines()) == f"sse-fast: {file}: listen:"
    assert len(errors.splitlines()) == 2
    code, errors = asyncio.run(command("--config", str(tmp_path / "none")))
    assert code == 1
    assert errors == f"sse-fast: {tmp_path / 'none'}: No such file or directory\n"
    code, errors = asyncio.run(command())
    assert code == 2


def test_a_directory_for_metrics_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f'listen = "127.0.0.1:0"\nworkers = 2\n{ROUTE}')
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(file / "metrics"))
    code, errors = asyncio.run(command("--config", str(file)))
    assert (code, errors) == (1, f"sse-fast: {file / 'metrics'}: Not a directory\n")


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file.write_text(f'listen = "127.0.0.1:{taken.getsockname()[1]}"\n{ROUTE}')
        code, errors = asyncio.run(command("--config", str(file)))
    assert code == 1
    assert errors.startswith("sse-fast: ")
    assert "in use" in errors
    assert len(errors.splitlines()) == 1
