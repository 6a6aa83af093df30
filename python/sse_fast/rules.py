"""Rules: what to change in each event, as plain immutable values.

Each rule checks its path, encodes its value and complains at construction, so that a mistake shows on the line that
makes it. `Rules` compiles a list of them once; the result is shared between streams and threads.

Paths are the singular-or-wildcard subset of JSONPath (RFC 9535): ``$``, ``.name``, ``['name']``, ``["name"]``, ``[0]``,
``[*]``, ``.*`` and the descendant ``..name``.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, Literal, NoReturn, Self

from sse_fast import _rust
from sse_fast._rust import check_path, check_rule
from sse_fast.errors import RuleError


class Sentinel(Enum):
    """Values that stand for "nothing given"."""

    ANY = "ANY"
    KEEP = "KEEP"

    def __repr__(self) -> str:
        return self.value


ANY: Final = Sentinel.ANY
"""``when=ANY``: whatever the value is."""
KEEP: Final = Sentinel.KEEP
"""``otherwise=KEEP``: every other value stays."""


class _Immutable:
    """A value made of the arguments it was made with; equal where what the engine is told of it is equal."""

    __slots__ = ("_arguments", "_options", "_spec")
    _arguments: tuple[Any, ...]
    _options: dict[str, Any]
    _spec: tuple[Any, ...]

    def _freeze(self, spec: tuple[Any, ...], *arguments: object, **options: object) -> None:
        object.__setattr__(self, "_spec", spec)
        object.__setattr__(self, "_arguments", arguments)
        object.__setattr__(self, "_options", options)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: make a new one instead of setting '{name}'")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: '{name}' cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Immutable):
            return NotImplemented
        return type(self) is type(other) and self._spec == other._spec

    def __hash__(self) -> int:
        return hash((type(self), self._spec))

    def __repr__(self) -> str:
        parts = [repr(argument) for argument in self._arguments]
        parts += [f"{name}={value!r}" for name, value in self._options.items()]
        return f"{type(self).__name__}({', '.join(parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake, (type(self), self._arguments, self._options)


def _remake(kind: type, arguments: tuple[Any, ...], options: dict[str, Any]) -> object:
    return kind(*arguments, **options)


class Rule(_Immutable):
    """The base of all rules."""

    __slots__ = ()

    def _freeze(self, spec: tuple[Any, ...], *arguments: object, **options: object) -> None:
        check_rule(spec)
        super()._freeze(spec, *arguments, **options)


class Condition(_Immutable):
    """The base of what `DropEvent` asks."""

    __slots__ = ()


def _encode(path: str, value: object, *, allow_nan: bool = False) -> bytes:
    """The JSON text of a value: compact, non-ASCII as it is."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=allow_nan)
    except (TypeError, ValueError, RecursionError) as error:
        raise RuleError(f"path '{path}': the value is not JSON: {error}", path) from error
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8, only its escape
        return json.dumps(value, separators=(",", ":"), allow_nan=allow_nan).encode()


def _encode_unless(nothing: Sentinel, path: str, value: object) -> bytes | None:
    return None if value is nothing else _encode(path, value)


def decode(text: bytes) -> Any:
    """The Python value of a JSON text; U+FFFD for invalid UTF-8.

    A text that Python's own decoder refuses (nested too deep, an integer of more than 4,300 digits) is given as it is.
    """
    string = text.decode(errors="replace")
    try:
        return json.loads(string)
    except (RecursionError, ValueError):
        return string


def _checked(path: str) -> str:
    if not isinstance(path, str):
        raise RuleError(f"a path is a str, not {type(path).__name__}")
    try:
        check_path(path)
    except UnicodeEncodeError as error:
        raise RuleError(f"path {path!r}: a lone surrogate is no character", path, error.start) from error
    return path


class Replace(Rule):
    """Replaces the value where the member or element exists (and equals ``when``, if given)."""

    __slots__ = ()

    def __init__(self, path: str, value: object, *, when: object = ANY) -> None:
        spec = ("replace", _checked(path), _encode(path, value), _encode_unless(ANY, path, when))
        self._freeze(spec, path, value, **_given(when=(when, ANY)))


class Set(Rule):
    """Replaces the value, or inserts it as the last member where the parent object exists."""

    __slots__ = ()

    def __init__(self, path: str, value: object) -> None:
        self._freeze(("set", _checked(path), _encode(path, value)), path, value)


class Default(Rule):
    """Inserts the member only where the parent object lacks it (or has null there, if that counts as missing)."""

    __slots__ = ()

    def __init__(self, path: str, value: object, *, null_counts_as_missing: bool = False) -> None:
        spec = ("default", _checked(path), _encode(path, value), bool(null_counts_as_missing))
        self._freeze(spec, path, value, **_given(null_counts_as_missing=(null_counts_as_missing, False)))


class Remove(Rule):
    """Removes the member or element with one comma (where it equals ``when``, if given)."""

    __slots__ = ()

    def __init__(self, path: str, *, when: object = ANY) -> None:
        spec = ("remove", _checked(path), _encode_unless(ANY, path, when))
        self._freeze(spec, path, **_given(when=(when, ANY)))


class Rename(Rule):
    """Renames the member's key; where ``key`` already stands in that object both stay unchanged."""

    __slots__ = ()

    def __init__(self, path: str, key: str) -> None:
        if not isinstance(key, str):
            raise RuleError(f"path '{path}': the new key is a str, not {type(key).__name__}", path)
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise RuleError(f"path '{path}': a lone surrogate in the new key has no UTF-8", path) from error
        self._freeze(("rename", _checked(path), key), path, key)


class Map(Rule):
    """Replaces a scalar by its image; ``otherwise`` is the image of every other scalar."""

    __slots__ = ()

    def __init__(
        self, path: str, mapping: Mapping[Any, object] | Iterable[tuple[object, object]], *, otherwise: object = KEEP
    ) -> None:
        _checked(path)
        try:
            given = mapping.items() if isinstance(mapping, Mapping) else mapping
            pairs = [(old, new) for old, new in given]
        except (TypeError, ValueError) as error:
            raise RuleError(f"path '{path}': Map takes a mapping or pairs of old and new: {error}", path) from error
        encoded = tuple((_encode(path, old), _encode(path, new)) for old, new in pairs)
        spec = ("map", path, encoded, _encode_unless(KEEP, path, otherwise))
        self._freeze(spec, path, _as_mapping(pairs), **_given(otherwise=(otherwise, KEEP)))


def _as_mapping(pairs: list[tuple[Any, object]]) -> dict[Any, object] | tuple[tuple[object, object], ...]:
    """The pairs as a dict, where Python can tell their keys apart as JSON does."""
    try:
        mapping = dict(pairs)
    except TypeError:
        return tuple(pairs)
    return mapping if len(mapping) == len(pairs) else tuple(pairs)


class Transform(Rule):
    """Replaces a value by ``function(value)``, both as Python values: for what no other rule says.

    The function is called for events that leave, while `feed` runs. Where it returns what it got, the bytes stay; what
    it raises comes out of `feed`.
    """

    __slots__ = ()

    def __init__(self, path: str, function: Callable[[Any], object]) -> None:
        if not callable(function):
            raise RuleError(f"path '{path}': Transform takes a function, not {type(function).__name__}", path)
        self._freeze(("transform", _checked(path), _Transformer(path, function)), path, function)


class _Transformer:
    """A function on values, as one on JSON texts."""

    __slots__ = ("function", "path")

    def __init__(self, path: str, function: Callable[[Any], object]) -> None:
        self.path = path
        self.function = function

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Transformer) and self.function == other.function

    def __hash__(self) -> int:
        return hash(self.function)

    def __call__(self, text: bytes) -> bytes | None:
        string = text.decode(errors="replace")
        try:
            value = json.loads(string)
        except (RecursionError, ValueError):
            return None  # more than Python can decode: it passes
        before = json.dumps(value)  # the function may change its argument in place
        result = self.function(value)
        if _same(before, result):
            return None
        # What the stream's own numbers were may stay.
        allow_nan = "NaN" in before or "Infinity" in before
        try:
            return _encode(self.path, result, allow_nan=allow_nan)
        except RuleError as error:
            raise TypeError(f"path '{self.path}': the function returned no JSON value: {error}") from error


def _same(before: str, result: object) -> bool:
    try:
        return json.dumps(result) == before
    except (TypeError, ValueError, RecursionError):
        return False


class Renumber(Rule):
    """Replaces or inserts a counter over the events that leave; it starts at the first value seen or at ``start``.

    Only an integer of 64 bits counts as seen; the counter starts at 0 where the first event that leaves has none.
    ``rewriter.next_numbers`` tells what an event of one's own, after all others, should have.
    """

    __slots__ = ()

    def __init__(self, path: str, start: int | Literal["first"] = "first") -> None:
        number = None if start == "first" else start
        if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
            raise RuleError(f"path '{path}': start is {start!r}: it must be 'first' or an int", path)
        if number is not None and not -(2**63) <= number < 2**63:
            raise RuleError(f"path '{path}': start is {start!r}: it must fit 64 bits", path)
        self._freeze(("renumber", _checked(path), number), path, **_given(start=(start, "first")))


class Capture(Rule):
    """Observes a value as it came in, before any rule; read it as ``rewriter.captured[name]``.

    Where null counts as missing it is passed over, so that the last value is the last that says something.
    """

    __slots__ = ()

    def __init__(
        self,
        name: str,
        path: str,
        *,
        keep: Literal["last", "first", "all"] = "last",
        null_counts_as_missing: bool = False,
    ) -> None:
        if not isinstance(name, str):
            raise RuleError(f"path '{path}': a capture's name is a str, not {type(name).__name__}", path)
        if keep not in ("last", "first", "all"):
            raise RuleError(f"path '{path}': keep is {keep!r}: it must be 'last', 'first' or 'all'", path)
        spec = ("capture", name, _checked(path), keep, bool(null_counts_as_missing))
        given = _given(keep=(keep, "last"), null_counts_as_missing=(null_counts_as_missing, False))
        self._freeze(spec, name, path, **given)


class Equals(Condition):
    """Some value at the path equals this one, as JSON compares."""

    __slots__ = ()

    def __init__(self, path: str, value: object) -> None:
        self._freeze(("equals", _checked(path), _encode(path, value)), path, value)


class Exists(Condition):
    """There is a value at the path."""

    __slots__ = ()

    def __init__(self, path: str) -> None:
        self._freeze(("exists", _checked(path)), path)


class Missing(Condition):
    """The payload is an object or array without a value at the path."""

    __slots__ = ()

    def __init__(self, path: str) -> None:
        self._freeze(("missing", _checked(path)), path)


class EventIs(Condition):
    """The event has this type; an event that names none is a ``"message"``."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise RuleError(f"an event type is a str, not {type(name).__name__}")
        self._freeze(("event_is", name), name)


class DropEvent(Rule):
    """Drops the whole block where all conditions hold."""

    __slots__ = ()

    def __init__(self, *conditions: Condition) -> None:
        if not conditions:
            raise RuleError("DropEvent without a condition would drop every event: give it at least one")
        for condition in conditions:
            if not isinstance(condition, Condition):
                raise RuleError(f"DropEvent takes Equals, Exists, Missing and EventIs, not {condition!r}")
        self._freeze(("drop_event", tuple(condition._spec for condition in conditions)), *conditions)


def _given(**options: tuple[object, object]) -> dict[str, object]:
    """The options that differ from their defaults."""
    return {name: value for name, (value, default) in options.items() if value is not default and value != default}


class Rules(_rust.Rules):
    """A compiled list of rules: immutable, hashable, shared between streams and threads.

    All rules see the event as it came in; an edit inside a removed or replaced value is void. Two rules that would edit
    the same place are a `RuleError` where their paths are equal; otherwise the first in the list wins.
    """

    _rules: tuple[Rule, ...]

    def __new__(cls, rules: Iterable[Rule] = ()) -> Self:
        """Compile the rules; `RuleError` where one or two of them cannot work."""
        given = tuple(rules)
        for rule in given:
            if not isinstance(rule, Rule):
                raise RuleError(f"Rules takes rules such as Replace or Remove, not {rule!r}")
        self = super().__new__(cls, [rule._spec for rule in given])
        object.__setattr__(self, "_rules", given)
        return self

    @classmethod
    def from_json(cls, config: str | bytes | list[Any]) -> Self:
        """Compile rules from their JSON form: a list of objects like ``{"op": "remove", "path": "$.usage.cost"}``."""
        from sse_fast.config import rules_from_json

        return cls(rules_from_json(config))

    def to_json(self) -> str:
        """The JSON form, for configuration files. `RuleError` for a Transform, which has none."""
        from sse_fast.config import rules_to_json

        return rules_to_json(self._rules)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Rules is immutable: make a new one instead of setting '{name}'")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Rules is immutable: '{name}' cannot be deleted")

    def __len__(self) -> int:
        return len(self._rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def __eq__(self, other: object) -> bool:
        return self._rules == other._rules if isinstance(other, Rules) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._rules)

    def __repr__(self) -> str:
        return f"Rules([{', '.join(map(repr, self._rules))}])"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._rules,)
