"""JSON as the oracle sees it: spans of keys, values and commas, found by a slow recursive parser.

No json module here: it would lose duplicates, spellings and invalid UTF-8. Naive on purpose, so that one
can see that it is right; nothing is shared with the engine under test.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

MAX_DEPTH = 1024
SPACE = b" \t\n\r"
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"', re.DOTALL)
CUT_STRING = re.compile(STRING.pattern[:-1] + rb"(?:\\(?:u[0-9a-fA-F]{0,3})?)?", re.DOTALL)
LITERALS = (b"true", b"false", b"null", b"NaN", b"Infinity", b"-Infinity")
ESCAPES = {'"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Invalid(Exception):
    """Not a JSON text."""


class Cut(Invalid):
    """Not a JSON text yet: the bytes end too early."""


@dataclass(eq=False)
class Value:
    kind: str  # object, array, string, number or literal
    start: int
    end: int = -1
    items: list[Item] = field(default_factory=list)
    owner: Item | None = None

    @property
    def keys(self) -> set[str | int | None]:
        return {item.key for item in self.items}


@dataclass(eq=False)
class Item:
    """A member, an element, or the root (no parent)."""

    value: Value
    parent: Value | None = None
    key: str | int | None = None  # a name, an index; None for the root and for a name that is not UTF-8
    key_start: int = -1
    key_end: int = -1
    comma: int = -1  # of the comma before it

    @property
    def start(self) -> int:
        return self.key_start if self.key_start >= 0 else self.value.start

    def ancestors(self) -> list[Item]:
        found, box = [], self.parent
        while box is not None:
            found.append(box.owner)
            box = box.owner.parent
        return found


def decode(raw: bytes) -> str | None:
    """The text of a JSON string with its quotes; None if it is not UTF-8."""
    try:
        text = raw[1:-1].decode("utf-8")
    except UnicodeDecodeError:
        return None
    return unescape(text)


def unescape(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else ESCAPES[match[2]]

    text = re.sub(r"\\(?:u(....)|(.))", plain, text, flags=re.DOTALL)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


class _Parser:
    def __init__(self, text: bytes) -> None:
        self.text = text
        self.at = 0

    def space(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in SPACE:
            self.at += 1

    def peek(self) -> bytes:
        self.space()
        if self.at == len(self.text):
            raise Cut
        return self.text[self.at : self.at + 1]

    def expect(self, wanted: bytes) -> int:
        if self.peek() != wanted:
            raise Invalid
        self.at += 1
        return self.at - 1

    def value(self, depth: int) -> Value:
        first = self.peek()
        start = self.at
        if first in (b"{", b"["):
            if depth == MAX_DEPTH:
                raise Invalid
            found = Value("object" if first == b"{" else "array", start)
            self.items(found, depth + 1)
        elif first == b'"':
            found = Value("string", start)
            self.string()
        else:
            found = Value(self.scalar(), start)
        found.end = self.at
        return found

    def items(self, box: Value, depth: int) -> None:
        close = b"}" if box.kind == "object" else b"]"
        self.at += 1
        if self.peek() == close:
            self.at += 1
            return
        comma = -1
        while True:
            item = Item(value=None, parent=box, key=len(box.items), comma=comma)  # type: ignore[arg-type]
            if box.kind == "object":
                self.peek()
                item.key_start = self.at
                item.key = decode(self.string())
                item.key_end = self.at
                self.expect(b":")
            item.value = self.value(depth)
            item.value.owner = item
            box.items.append(item)
            if self.peek() == close:
                self.at += 1
                return
            comma = self.expect(b",")

    def string(self) -> bytes:
        match = STRING.match(self.text, self.at)
        if match is None:
            cut = CUT_STRING.fullmatch(self.text, self.at)
            raise Cut if cut else Invalid
        self.at = match.end()
        return match[0]

    def scalar(self) -> str:
        rest = self.text[self.at :]
        for literal in LITERALS:
            if rest.startswith(literal):
                self.at += len(literal)
                return "literal"
            if literal.startswith(rest):
                raise Cut
        match = NUMBER.match(self.text, self.at)
        if match is None:
            raise Invalid
        self.at = match.end()
        return "number"


def parse(text: bytes) -> Item:
    """The root of a JSON text; raises Invalid, or Cut where the text only wants more bytes."""
    parser = _Parser(text)
    root = Item(parser.value(0))
    root.value.owner = root
    parser.space()
    if parser.at != len(text):
        raise Invalid
    return root


# Paths ------------------------------------------------------------------------------------------------

SEGMENT = re.compile(
    r"""\.\.(?P<deep>[^\W\d]\w*) | \.(?P<name>[^\W\d]\w*) | (?P<any>\.\*|\[\*\]) | \[(?P<index>\d+)\]
      | \['(?P<single>(?:[^'\\]|\\.)*)'\] | \["(?P<double>(?:[^"\\]|\\.)*)"\]""",
    re.VERBOSE,
)


def segments(path: str) -> list[tuple[str, str | int]]:
    """'$..a[0].*' as [("deep", "a"), ("index", 0), ("any", "*")]."""
    found: list[tuple[str, str | int]] = []
    at = 1
    while at < len(path):
        match = SEGMENT.match(path, at)
        assert match, path
        kind, text = match.lastgroup, match[match.lastgroup]
        if kind in ("single", "double"):
            kind, text = "name", unescape(text)
        found.append((kind, int(text) if kind == "index" else text))
        at = match.end()
    return found


def descendants(value: Value) -> list[Value]:
    found = [value]
    for item in value.items:
        found += descendants(item.value)
    return found


def children(value: Value, kind: str, wanted: str | int) -> list[Item]:
    if kind == "any":
        return value.items
    if kind == "deep":
        return [item for box in descendants(value) for item in children(box, "name", wanted)]
    return [item for item in value.items if item.key == wanted and type(item.key) is type(wanted)]


def select(root: Item, path: list[tuple[str, str | int]]) -> list[Item]:
    """Every item that the path selects, once each, in the order of the text."""
    here = [root]
    for kind, wanted in path:
        here = [child for item in here for child in children(item.value, kind, wanted)]
        here = list(dict.fromkeys(here))
    return sorted(here, key=lambda item: item.value.start)


# Equality ---------------------------------------------------------------------------------------------


def encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def canonical(value: Value, text: bytes) -> object:
    """What JSON equality compares: numbers by value, objects in any order, true apart from 1."""
    raw = text[value.start : value.end]
    if value.kind == "object":
        last = {item.key if item.key is not None else object(): item.value for item in value.items}
        return ("object", frozenset((key, canonical(member, text)) for key, member in last.items()))
    if value.kind == "array":
        return ("array", tuple(canonical(item.value, text) for item in value.items))
    if value.kind == "number":
        sign, whole, fraction, exponent = re.fullmatch(rb"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE](.+))?", raw).groups()
        digits = (whole + (fraction or b"")).lstrip(b"0")
        shown = digits.rstrip(b"0")
        power = int(exponent or 0) - len(fraction or b"") + len(digits) - len(shown)
        return ("number", sign, shown, power) if shown else ("number", b"", b"", 0)
    if value.kind == "string":
        decoded = decode(raw)
        return ("string", decoded) if decoded is not None else object()
    return ("literal", raw) if raw != b"NaN" else object()


def equals(value: Value, text: bytes, constant: object) -> bool:
    other = encode(constant)
    return canonical(value, text) == canonical(parse(other).value, other)
