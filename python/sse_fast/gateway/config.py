"""The configuration: a TOML file, checked to the last rule before a port opens."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from yarl import URL

from sse_fast import Rules
from sse_fast.gateway import routes


class ConfigError(Exception):
    """The configuration cannot be used; each line of the message is one problem."""


def _must_be(what: str, pattern: str, also: Callable[[str], object] = bool) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text) or not text.isprintable() or not also(text):
            raise ValueError(f"it must be {what}")
        return text.rstrip("/")

    return AfterValidator(check)


def _is_port(address: str) -> bool:
    return int(address.rpartition(":")[2]) < 1 << 16


def _resolvable(url: str) -> bytes:
    return str(URL(url).host).encode("idna")  # raises, for a port that is none, too


HOST_PORT = "host:port, as 127.0.0.1:8080 or [::1]:8080, the port at most 65535"
HTTP = "http:// or https:// with a host, without user, query and fragment"
PATH = "a path, as /v1, not percent-encoded, without segments of dots, and not /healthz or /metrics"

Address = Annotated[str, _must_be(HOST_PORT, r"([^\s:\[\]]+|\[[0-9A-Fa-f:.]+\]):\d+", _is_port)]
Bytes = Annotated[int, Field(ge=1, lt=1 << 63)]
Path_ = Annotated[str, _must_be(PATH, r"(?!.*/\.\.?(/|$))(?!/(healthz|metrics)/?$)/[^\s?#%]*")]
Variable = Annotated[str, _must_be("the name of a variable", "[A-Za-z_][A-Za-z0-9_]*")]
RuleList = Annotated[Rules, BeforeValidator(Rules.from_json)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Url = Annotated[str, _must_be(HTTP, r"https?://[^\s/?#@]+(/[^\s?#]*)?", _resolvable)]


class Settings(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


class Timeouts(Settings):
    """How long to wait, in seconds."""

    connect: Seconds = 5.0
    first_byte: Seconds = 60.0
    """For the headers of an event stream."""
    answer: Seconds = 600.0
    """For those of anything else, which come when the model is done."""
    hold: Seconds = 5.0
    """For the first event, before the headers go to the client."""
    idle: Seconds = 120.0
    request: Seconds = 60.0
    send: Seconds = 300.0
    keep_alive: Seconds = 75.0


class Upstream(Settings):
    """A server to ask."""

    url: Url
    name: str | None = None
    api_key_env: Variable | None = None
    key_header: Literal["authorization", "api-key", "x-api-key", "x-goog-api-key"] | None = None
    models: dict[str, str] = {}


class Route(Settings):
    """What becomes of the requests below a path."""

    path: Path_
    name: str | None = None
    upstreams: Annotated[list[Upstream], Field(min_length=1)]
    models: dict[str, str] = {}
    heartbeat: Seconds | None = None
    dialect: Literal["chat_completions", "messages", "responses", "gemini", "completions"] | None = None
    # Options of its rules
    strip_cost: bool = False
    strip_provider: bool = False
    repair: bool = False
    drop_usage_chunk: bool = False
    reasoning: Literal["reasoning", "reasoning_content"] | None = None
    # Rules of one's own
    rules: RuleList = Rules()
    body_rules: RuleList = Rules()
    request_rules: RuleList = Rules()
    # Policies of `sse_fast.Rewriter`
    max_held: Bytes | None = None
    on_invalid: Literal["pass", "drop", "raise"] | None = None
    comments: str | None = None
    empty_blocks: Literal["keep", "drop"] | None = None

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        routes.Route(self)
        return self


def _distinct(routes: list[Route]) -> list[Route]:
    paths = [route.path for route in routes]
    for path in paths:
        if paths.count(path) > 1:
            raise ValueError(f"two routes have the path '{path or '/'}'")
    return routes


class Config(Settings):
    """The whole file."""

    listen: Address = "127.0.0.1:8080"
    workers: Annotated[int, Field(ge=1)] = 1
    max_request_bytes: Bytes = 32 << 20
    max_response_bytes: Bytes = 64 << 20
    shutdown_grace: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    timeouts: Timeouts = Timeouts()
    routes: Annotated[list[Route], Field(min_length=1), AfterValidator(_distinct)]


def load(file: str | Path) -> Config:
    """Read a configuration. `ConfigError` names each key that is wrong, and why."""
    try:
        return Config.model_validate(tomllib.loads(Path(file).read_text("utf-8")))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{file}: {_problem(each)}" for each in error.errors())) from None
    except ValueError as error:  # neither UTF-8 nor TOML
        raise ConfigError(f"{file}: {error}") from None


def _problem(error: Any) -> str:
    key = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in error["loc"]).removeprefix(".")
    reasons = {"extra_forbidden": "there is no such key", "missing": "it is missing"}
    reason = reasons.get(error["type"], error["msg"].removeprefix("Value error, "))
    return f"{key}: {reason[0].lower()}{reason[1:]}"
