"""What a route of the configuration compiles to, once: nothing of it is looked at again while requests come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sse_fast import Replace, Rewriter, Rule, RuleError, Rules
from sse_fast.dialects import DIALECTS, Dialect, for_path, get
from sse_fast.gateway.upstream import Upstream

if TYPE_CHECKING:
    from sse_fast.gateway import config

OPTIONS = {"strip_cost", "strip_provider", "repair", "drop_usage_chunk", "reasoning"}
OTHER = ""  # a model that is no alias
POLICIES = {"max_held", "on_invalid", "comments", "empty_blocks"}


class Route:
    """A route at work. ``path`` is a prefix of whole segments."""

    def __init__(self, settings: config.Route) -> None:
        self.path = settings.path
        self.name = settings.name or settings.path or "/"
        self.heartbeat = settings.heartbeat
        self.upstreams = [Upstream(each, settings, index) for index, each in enumerate(settings.upstreams)]
        aliases = [alias for upstream in self.upstreams for alias in upstream.models]
        self.aliases = {*aliases, *(f"models/{alias}" for alias in aliases)}  # as Google's bodies name them
        self._dialect = get(settings.dialect) if settings.dialect else None
        self._options: dict[str, Any] = settings.model_dump(include=OPTIONS)
        self._policies = settings.model_dump(include=POLICIES, exclude_none=True)
        named: dict[str | None, Any] = {alias: alias for alias in self.aliases}
        named |= {OTHER: None, None: self._unambiguous() or None}
        self._rewritings = {
            (dialect and dialect.name, asked): self._compiled(settings, dialect, name)
            for dialect in ([self._dialect] if self._dialect else [*DIALECTS, None])
            for asked, name in named.items()
        }
        self.rewriter(Rules(), None)  # what a policy is refused for is refused now

    def _unambiguous(self) -> dict[str, str]:
        """The alias of each model that has one alone: for a request that does not say which it means."""
        pairs = {pair for upstream in self.upstreams for pair in upstream.models.items()}
        models = [model for _, model in pairs]
        return {model: alias for alias, model in pairs if models.count(model) == 1}

    def _compiled(self, settings: config.Route, dialect: Dialect | None, name: Any) -> tuple[Rules, Rules]:
        stream, body = [*settings.rules], [*settings.body_rules]
        if dialect is not None:
            stream += dialect.rules(model=name, **self._options) + dialect.captures()
            body += dialect.body_rules(model=name, **self._options)
        elif isinstance(name, str):
            stream.append(Replace("$.model", name))
            body.append(Replace("$.model", name))
        return _rules("rules", stream), _rules("body_rules", body)

    def dialect(self, path: str) -> Dialect | None:
        """What a request with this path speaks."""
        return self._dialect or for_path(path)

    def rewriting(self, dialect: Dialect | None, model: str | None) -> tuple[Rules, Rules]:
        """The rules for the events and the JSON body that answer a request for this model, or for none: where that is
        an alias, the answer says the alias.
        """
        asked = model if model is None or model in self.aliases else OTHER
        return self._rewritings[dialect and dialect.name, asked]

    def rewriter(self, rules: Rules, dialect: Dialect | None) -> Rewriter:
        """A new one, with the policies of this route."""
        of_dialect = dialect.policies(repair=self._options["repair"]) if dialect else {}
        return Rewriter(rules, **{**of_dialect, **self._policies})


def find(routes: Iterable[Route], path: str) -> Route | None:
    """The route for a request with this path: the longest."""
    serving = (route for route in routes if f"{path}/".startswith(f"{route.path}/"))
    return max(serving, key=lambda route: len(route.path), default=None)


def _rules(key: str, rules: Iterable[Rule]) -> Rules:
    try:
        return Rules(rules)
    except RuleError as error:
        raise ValueError(f"{key}, with those that models and options come to: {error}") from error
