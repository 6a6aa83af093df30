"""Hypothesis strategies: odd JSON, rule lists, event streams."""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = ["a", "a", "a", "b", "b", "model", "é", "😀"]
SPACES = st.sampled_from([b""] * 6 + [b" ", b"\t", b"  ", b"\n", b" \n "])
NUMBERS = [b"0", b"-0", b"1", b"1.0", b"1e0", b"10e-1", b"1e-07", b"1E+2", b"1.50", b"0.000075", b"-12"]
NUMBERS += [b"18446744073709551616", b"18446744073709551617", b"123456789012345678901234567890.10"]
LITERALS = [b"true", b"false", b"null", b"NaN", b"Infinity", b"-Infinity"]
UNITS = [b"x", b"1", b" ", b"{", b"}", b",", b":", b"data:", b"\x7f"]
UNITS += [b"\\n", b"\\u0061", b"\\u0000", b'\\"', b"\\\\", b"\\/"]
UNITS += ["é".encode(), "😀".encode(), "\u2028\x85".encode(), b"\\ud83d\\ude00", b"\\uD83D", b"\\ude00"]
TEXTS = [b"hello", b"[DONE]", b" [DONE] ", b"", b"tru", b"12", b'"a"', b"\xff\xfe", b"{]"]
JUNK = [b"", b"\x01", b"'", b",", b"\xff", b"\\", b'"', b"}", b"0", b"\xef\xbb\xbf"]
BROKEN = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98"]
SCALARS = [None, True, False, 0, 1, -12, 1.5, 2**64, "", "x", "é", "a"]
CONSTANTS = [*SCALARS, [], [1], {}, {"a": 1}, {"b": [None]}]


@st.composite
def spelled(draw, name: str) -> bytes:
    """A name as a JSON string, some of its characters escaped."""
    out = b'"'
    for char in name:
        if draw(st.integers(0, 5)):
            out += char.encode()
        else:
            code = char.encode("utf-16-be").hex()
            code = code.upper() if draw(st.booleans()) else code
            out += b"".join(b"\\u" + code[i : i + 4].encode() for i in range(0, len(code), 4))
    return out + b'"'


keys = st.sampled_from([*NAMES, "other", ""]).flatmap(spelled)


def strings(broken: bool) -> st.SearchStrategy[bytes]:
    units = st.sampled_from(UNITS + (BROKEN if broken else []))
    return st.lists(units, max_size=5).map(lambda parts: b'"' + b"".join(parts) + b'"')


@st.composite
def container(draw, inner: st.SearchStrategy[bytes]) -> bytes:
    values = draw(st.lists(inner, max_size=4))
    space = lambda: draw(SPACES)  # noqa: E731
    if not draw(st.integers(0, 3)):
        items = [space() + value + space() for value in values]
        return b"[" + (b",".join(items) or space()) + b"]"
    items = [space() + draw(keys) + space() + b":" + space() + value + space() for value in values]
    return b"{" + (b",".join(items) or space()) + b"}"


def values(broken: bool = False) -> st.SearchStrategy[bytes]:
    common = st.sampled_from([b'"x"', b'""', b"null", b"1"])
    scalars = st.sampled_from(NUMBERS + LITERALS) | strings(broken) | common
    return st.recursive(scalars, container, max_leaves=14)


def payloads(broken: bool = False) -> st.SearchStrategy[bytes]:
    """A JSON object or array with odd spacing around it."""
    return st.tuples(SPACES, container(values(broken)), SPACES).map(b"".join)


@st.composite
def invalid_payloads(draw) -> bytes:
    text = draw(payloads())
    place = draw(st.integers(0, len(text)))
    how = draw(st.sampled_from(["cut", "insert", "drop", "double", "text"]))
    if how == "text":
        return draw(st.sampled_from(TEXTS))
    if how == "double":
        return text + text
    if how == "cut":
        return text[:place]
    junk = draw(st.sampled_from(JUNK))
    return text[:place] + junk + text[place + (how == "drop") :]


# Rules ------------------------------------------------------------------------------------------------


@st.composite
def segment(draw, kinds: str) -> str:
    kind = draw(st.sampled_from(kinds))
    name = draw(st.sampled_from(NAMES))
    if kind == "n":
        plain = [f".{name}"] if name != "😀" else []
        return draw(st.sampled_from([*plain, f"['{name}']", f'["{name}"]']))
    if kind == "i":
        return f"[{draw(st.integers(0, 2))}]"
    return draw(st.sampled_from([".*", "[*]"])) if kind == "w" else f"..{draw(st.sampled_from(NAMES[:6]))}"


def paths(last: str = "nnniwd") -> st.SearchStrategy[str]:
    parents = st.sampled_from([0, 0, 1, 1, 2]).flatmap(
        lambda size: st.lists(segment("nnniwd"), min_size=size, max_size=size).map("".join)
    )
    return st.tuples(parents, segment(last)).map(lambda parts: "$" + "".join(parts))


def form(op: str, **parts: st.SearchStrategy) -> st.SearchStrategy[dict]:
    return st.fixed_dictionaries({"op": st.just(op), **parts})


constants = st.sampled_from(CONSTANTS)
scalars = st.sampled_from(SCALARS)


def optional_when(op: str, **parts: st.SearchStrategy) -> st.SearchStrategy[dict]:
    return form(op, **parts) | form(op, **parts) | form(op, when=constants, **parts)


removes = optional_when("remove", path=paths())
replaces = optional_when("replace", path=paths(), value=constants)
sets = form("set", path=paths("n"), value=constants)
defaults = form("default", path=paths("n"), value=constants, null_counts_as_missing=st.booleans())
renames = form("rename", path=paths("nnd"), key=st.sampled_from([*NAMES, "other"]))
mappings = st.lists(st.tuples(scalars, constants), max_size=3, unique_by=lambda pair: pair[0])
maps = form("map", path=paths(), map=mappings) | form("map", path=paths(), map=mappings, otherwise=constants)
renumbers = form("renumber", path=paths("n"), start=st.just("first") | st.integers(0, 99))


def _identity(value: object) -> object:
    return value


def _kind(value: object) -> object:
    return {"type": type(value).__name__}


transforms = form("transform", path=paths() | st.just("$"), function=st.sampled_from([_identity, _kind]))
plain_removes = form("remove", path=paths())
plain_replaces = form("replace", path=paths(), value=constants)
masks = st.lists(plain_removes | plain_replaces | sets, max_size=4)
captures = form(
    "capture",
    path=paths() | st.just("$"),
    keep=st.sampled_from(["first", "last", "all"]),
    null_counts_as_missing=st.booleans(),
)
conditions = st.one_of(
    paths().map(lambda path: {"exists": path}),
    paths().map(lambda path: {"missing": path}),
    st.builds(lambda path, value: {"equals": path, "value": value}, paths(), constants),
    st.sampled_from(["message", "ping"]).map(lambda name: {"event_is": name}),
)
drops = form("drop_event", conditions=st.lists(conditions, min_size=1, max_size=2))


@st.composite
def rule_lists(draw, *more: st.SearchStrategy[dict]) -> list[dict]:
    basic = [removes, replaces, sets, defaults, renames, maps]
    found = draw(st.lists(st.one_of(*basic, *more), min_size=draw(st.integers(0, 3)), max_size=6))
    return [rule | {"name": f"c{at}"} if rule["op"] == "capture" else rule for at, rule in enumerate(found)]


# Streams ----------------------------------------------------------------------------------------------

ENDINGS = [b"\n", b"\n", b"\r\n", b"\r"]
OTHER_LINES = [b": ping", b":", b":\xff", b"id: 7", b"id", b"event: ping", b"event:message"]
OTHER_LINES += [b"retry: 10", b"retry: x", b"foo: bar", b"data2: {}", b" data: {}"]
OTHER_LINES += [b"\xffdata: {}", b"dat", b"{}", b"id: \x00"]
other_lines = st.sampled_from(OTHER_LINES)


@st.composite
def blocks(draw, payload: st.SearchStrategy[bytes], endings: st.SearchStrategy[bytes]) -> bytes:
    """A block; a payload with LF comes on several data lines, other lines may stand around and between."""
    lines = draw(st.lists(other_lines, max_size=2))
    if draw(st.integers(0, 9)):
        for part in draw(payload).split(b"\n"):
            lines.append(draw(st.sampled_from([b"data: ", b"data:"])) + part.replace(b"\r", b""))
            if not draw(st.integers(0, 7)):
                lines.append(draw(other_lines))
    block = b"".join(line + draw(endings) for line in lines)
    blank = draw(endings)
    return block + (b"\r" if blank == b"\n" and block.endswith(b"\r") else blank)  # CR LF is one ending


@st.composite
def streams(draw, payload: st.SearchStrategy[bytes], *, max_blocks: int = 4, ended: bool = False) -> bytes:
    one_ending = draw(st.sampled_from([None, *ENDINGS]))
    endings = st.just(one_ending) if one_ending else st.sampled_from(ENDINGS)
    out = draw(st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"]))
    out += b"".join(draw(st.lists(blocks(payload, endings), max_size=max_blocks)))
    if ended or draw(st.booleans()):
        return out
    last = draw(blocks(payload, endings))
    return out + last[: draw(st.integers(0, len(last)))]


def cut_places(stream: bytes) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, len(stream)), max_size=12)
