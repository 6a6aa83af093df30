"""What an API says in its own way, as data and functions."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Self, TypedDict

from sse_fast.aio.report import StreamReport
from sse_fast.dialects.failure import Failure
from sse_fast.dialects.usage import Usage, parsed
from sse_fast.errors import RefusalError
from sse_fast.rules import Capture, Condition, DropEvent, Map, Remove, Rename, Replace, Rule, Rules

Reasoning = Literal["reasoning", "reasoning_content"]

# What routers bill with, inside a usage object.
COSTS = ("cost", "cost_details", "cost_in_usd_ticks", "is_byok", "market_cost")


class Policies(TypedDict, total=False):
    """Options of `sse_fast.Rewriter`."""

    empty_blocks: Literal["keep", "drop"]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One API: where things stand in its events and bodies, and what it says of errors. Paths are those of rules.

    Everything is a plain value or a function, so that another API is another `Dialect`, and a variant of one is
    ``dataclasses.replace(dialect, ...)``. `sse_fast.aio.RewriteStream` takes it as ``dialect=``; it knows the end of a
    stream by what `captures` saw, so let the rewriter have them.
    """

    name: str
    """What `sse_fast.dialects.get` finds it by."""
    paths: Sequence[str] = ()
    """Regular expressions that match the end of a request's path."""
    models: Sequence[str] = ()
    """Where an event names the model."""
    body_models: Sequence[str] = ()
    """Where a JSON body does."""
    usages: Sequence[str] = ()
    """The usage objects of an event."""
    body_usages: Sequence[str] = ()
    """Those of a JSON body."""
    costs: Sequence[str] = ()
    """Where else prices stand, in an event or a JSON body."""
    providers: Sequence[str] = ()
    """What tells who is behind a router, in an event or a JSON body."""
    reasonings: Sequence[str] = ()
    """The objects in which ``reasoning`` or ``reasoning_content`` stands, in an event or a JSON body."""
    repairs: Sequence[Rule] = ()
    """What clients crash without, in an event."""
    body_repairs: Sequence[Rule] = ()
    """The same in a JSON body."""
    usage_chunk: Sequence[Condition] = ()
    """What the event is like that holds nothing but usage."""
    observers: Mapping[str, str] = field(default_factory=dict)
    """What `captures` observes, path by name: the last value that is not null."""
    read_usage: Callable[[Mapping[str, Any]], Usage] = lambda captured: Usage()
    """Six numbers of what the observers saw."""
    read_body_usage: Callable[[Any], Usage] = lambda body: Usage()
    """The same of a JSON body."""
    has_ended: Callable[[StreamReport], bool] = lambda report: report.stats is not None and report.stats.done
    """The event that ends a stream has come."""
    may_end: Callable[[StreamReport], bool] | None = None
    """An upstream that ends now has said all; `has_ended` unless given."""
    fails: Callable[[StreamReport], bool] = lambda report: tells_of_error(report)
    """An event has told of an error."""
    write_error: Callable[[Failure, StreamReport], bytes] = lambda failure, report: failure.event()
    """Whole blocks that tell a client of a failure in the middle of a stream."""
    write_error_body: Callable[[Failure], bytes] = lambda failure: failure.body()
    """The JSON body that tells of one before a stream."""
    keep_alive: bytes = b": keep-alive\n\n"
    """A whole block to send in idle time."""
    key_header: str = "authorization"
    """The header that a request has its key in."""
    api_paths: Sequence[str] = ()
    """Regular expressions that find, in a path, that it is one of the same API's, whatever it answers."""

    def rules(
        self,
        *,
        model: str | Mapping[str, str] | None = None,
        strip_cost: bool = False,
        strip_provider: bool = False,
        repair: bool = False,
        drop_usage_chunk: bool = False,
        reasoning: Reasoning | None = None,
    ) -> list[Rule]:
        """The rules for an event stream; none unless asked for. What this API has not is passed over.

        ``model`` masks the model's name, wherever it stands: a name for all, or a mapping for those in it.
        ``strip_cost`` and ``strip_provider`` take out what a router adds of its prices and of who is behind it.
        ``repair`` adds or takes out what clients crash on; use it with `policies`. ``drop_usage_chunk`` drops the event
        that holds nothing but usage, for a client that did not ask for it; captures see it. ``reasoning`` is the name
        under which thoughts stand.
        """
        rules = self._common(self.models, self.usages, model, strip_cost, strip_provider, reasoning)
        if repair:
            rules += self.repairs
        if drop_usage_chunk and self.usage_chunk:
            rules.append(DropEvent(*self.usage_chunk))
        return rules

    def body_rules(
        self,
        *,
        model: str | Mapping[str, str] | None = None,
        strip_cost: bool = False,
        strip_provider: bool = False,
        repair: bool = False,
        drop_usage_chunk: bool = False,
        reasoning: Reasoning | None = None,
    ) -> list[Rule]:
        """The same for a JSON body, by `sse_fast.Rules.rewrite_json`; ``drop_usage_chunk`` has no meaning there."""
        rules = self._common(self.body_models, self.body_usages, model, strip_cost, strip_provider, reasoning)
        if repair:
            rules += self.body_repairs
        return rules

    def _common(
        self,
        models: Sequence[str],
        usages: Sequence[str],
        model: str | Mapping[str, str] | None,
        strip_cost: bool,
        strip_provider: bool,
        reasoning: Reasoning | None,
    ) -> list[Rule]:
        rules: list[Rule] = []
        if isinstance(model, str):
            rules += [Replace(path, model) for path in models]
        elif model is not None:
            rules += [Map(path, model) for path in models]
        if strip_cost:
            rules += [Remove(f"{usage}.{cost}") for usage in usages for cost in COSTS]
            rules += [Remove(path) for path in self.costs]
        if strip_provider:
            rules += [Remove(path) for path in self.providers]
        if reasoning is not None:
            other = {"reasoning": "reasoning_content", "reasoning_content": "reasoning"}.get(reasoning)
            if other is None:
                raise ValueError(f"reasoning must be 'reasoning' or 'reasoning_content', not {reasoning!r}")
            rules += [Rename(f"{parent}.{other}", reasoning) for parent in self.reasonings]
        return rules

    def policies(self, *, repair: bool = False) -> Policies:
        """The options of `sse_fast.Rewriter` that go with the rules: a repair drops blocks without data."""
        return {"empty_blocks": "drop"} if repair else {}

    def captures(self) -> list[Rule]:
        """The observers, to go with the rules: model, id, finish_reason, service_tier, error, usage and what tells the
        end. Read by name from `StreamReport.captured`; None where the stream had none.
        """
        return [Capture(name, path, null_counts_as_missing=True) for name, path in self.observers.items()]

    def usage(self, report: StreamReport) -> Usage:
        """What a stream has used, by its captures."""
        return self.read_usage(report.captured)

    def body_usage(self, body: bytes | str) -> Usage:
        """What a JSON body says that it has used; nothing where it is no JSON."""
        return self.read_body_usage(parsed(body))

    def body_model(self, body: bytes | str) -> str | None:
        """The model that a JSON body names, as it came; None where it names none or is no JSON."""
        text = body.encode(errors="surrogatepass") if isinstance(body, str) else body
        models = _observed(tuple(self.body_models)).read_json(text).values()
        return next((model for model in models if model and isinstance(model, str)), None)

    def is_terminal(self, report: StreamReport) -> bool:
        """The event that ends a stream has come."""
        return self.has_ended(report)

    def is_complete(self, report: StreamReport) -> bool:
        """An upstream that ends now has said all. True, too, where the captures that tell are not there."""
        if not self.observers.keys() <= report.captured.keys():
            return True
        return (self.may_end or self.has_ended)(report)

    def has_failed(self, report: StreamReport) -> bool:
        """An event told of an error, by the captures; the stream itself may well be complete."""
        return self.fails(report)

    def error_event(self, error: BaseException, report: StreamReport) -> bytes:
        """Whole blocks that tell the client of an error in this API's own form.

        A `sse_fast.RefusalError` says its own status and message; of any other they name no host and no exception.
        """
        return self.write_error(Failure.of(error), report)

    def error_body(self, error: BaseException) -> tuple[int, bytes]:
        """An HTTP status and the JSON body for an error before anything was sent; what it says is as in an event."""
        failure = Failure.of(error)
        return failure.status, self.write_error_body(failure)

    def refusal(self, status: int, message: str) -> bytes:
        """The JSON body for a status of one's own choice, 400 to 599: what `sse_fast.RefusalError` comes to."""
        return self.error_body(RefusalError(status, message))[1]

    def authorization(self, key: str, *, header: str | None = None) -> tuple[str, str]:
        """The header that asks with a key: that of the API, or this one."""
        header = header or self.key_header
        return header, f"Bearer {key}" if header.lower() == "authorization" else key

    def serves(self, path: str) -> bool:
        """Whether a request with this path speaks this dialect."""
        return any(re.search(f"(?:{pattern})$", path) for pattern in self.paths)

    def replace(self, **changes: Any) -> Self:
        """A variant, ``chat_completions.replace(keep_alive=b": ping\\n")`` for one."""
        return dataclasses.replace(self, **changes)


def tells_of_error(report: StreamReport) -> bool:
    """The captures have seen an error, by its member or by the event's type. An empty one is none."""
    return bool(report.captured.get("error")) or report.captured.get("type") == "error"


@lru_cache
def _observed(paths: tuple[str, ...]) -> Rules:
    return Rules(Capture(path, path) for path in paths)
