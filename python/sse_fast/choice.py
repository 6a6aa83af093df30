"""The rules for a request: the same for all, or by a function of it."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from sse_fast.rules import Rule, Rules

RequestT = TypeVar("RequestT")


def chooser(
    name: str, rules: Rules | Iterable[Rule] | Callable[[RequestT], Rules | None] | None
) -> Callable[[RequestT], Rules | None]:
    """A function of the request, whatever was given as the parameter of this name; compiled here, not for each one."""
    if not callable(rules):
        compiled = rules if rules is None or isinstance(rules, Rules) else Rules(rules)
        return lambda request: compiled

    def choose(request: RequestT) -> Rules | None:
        chosen = rules(request)
        if chosen is not None and not isinstance(chosen, Rules):
            raise TypeError(f"the function for {name} must return Rules or None, not {type(chosen).__name__}")
        return chosen

    return choose
