"""What random testing found once: each stream must come out the same whole, byte by byte and cut in two."""

import pytest
from sse_fast import (
    Capture,
    Default,
    DropEvent,
    Exists,
    InvalidEventError,
    Parser,
    Remove,
    Rename,
    Renumber,
    Replace,
    Rewriter,
    Rules,
)

CASES = {
    "a capture in a value that a counter replaces": (
        [Capture("c", "$.c.a", keep="all"), Renumber("$.c"), Remove("$[*].a", when="longer value")],
        {"max_held": 42},
        b'data:{"":\ndata:{\ndata:},"c":{\ndata:"":""\ndata:,"a":[null,\ndata:5\ndata:]',
    ),
    "a dropped event with an edit across another line": (
        [Replace("$.b", 1), DropEvent(Exists("$.*"))],
        {"max_held": 20},
        b'data: {"a":1,"b":{\nt\ndata: "c":2}}\n\n',
    ),
    "a value decided in the middle of a comment": (
        [Renumber("$.a[*].c")],
        {"max_held": 30, "comments": "T"},
        b'data: {"a":[{"c":{"b":1844674407,\ndata:"a":"x"\n: comment of some length\ndata:}}]}\n\n',
    ),
    "an insertion behind white space that has left": (
        [Default("$.b", 1)],
        {"max_held": 2},
        b"data: {" + b"\t" * 200 + b"}\n\n",
    ),
    "a number at the end of a line": (
        [Renumber("$[*].b", 5)],
        {"max_held": 1},
        b'data:[\ndata: {"c": 1\ndata:}\t ]\n',
    ),
    "a counter that meets its first number late": (
        [Renumber("$.b.a")],
        {"max_held": 30},
        b'data: {"b":{"a":null,"a":1,"a":{"long":"enough to be too large"}}}\n\n',
    ),
    "a rename under two rules, much too large": (
        [Rename("$..b", "a"), Rename("$.b", "z")],
        {"max_held": 8},
        b'data: {"b":1,"b":"and so on and so on","c":{"b":2,"a":3}}\n\n',
    ),
    "an error in the middle of a join": (
        [],
        {"max_held": 10, "on_invalid": "raise"},
        b"data:nu\revent: y\rdata: ll\r\rdata: 0\n",
    ),
    "a block that ends in a lone CR, then one in CRLF": (
        [],
        {"empty_blocks": "drop"},
        b"data: {}\r\n\rdata: {}\r\n\r\n",
    ),
    "a BOM before the first block, and one that is no BOM": (
        [Remove("$.a")],
        {},
        b'\xef\xbb\xbfdata: {"a":1}\n\n\xef\xbb\xbfdata: {"a":1}\n\n',
    ),
    "a dropped comment before an unfinished line": (
        [],
        {"comments": "drop"},
        b"data: 3\r: c\nxyz",
    ),
    "a removal behind much that is no payload": (
        [Remove("$[*]")],
        {"max_held": 20},
        b"data: {\n" + b"x\n" * 200 + b'data: "b": 2}\n\ndata: [\n' + b"x\n" * 200 + b"data: 2]\n\n",
    ),
    "comments between a CR and an LF": (
        [],
        {"comments": "drop"},
        b"data: {}\r: a\r: b\n\ndata: {}\r: c\n",
    ),
}


def outcome(rules: Rules, options: dict[str, object], chunks: list[bytes]) -> tuple[object, ...]:
    rewriter = Rewriter(rules, **options)
    out = b""
    try:
        for chunk in chunks:
            out += rewriter.feed(chunk)
        out += rewriter.finish()
    except InvalidEventError as error:
        return out + error.output, type(error), error.offset
    return out, repr(rewriter.stats), repr(rewriter.captured)


@pytest.mark.parametrize(("rules", "options", "stream"), CASES.values(), ids=CASES)
def test_no_cut_makes_a_difference(rules: list, options: dict[str, object], stream: bytes) -> None:
    compiled = Rules(rules)
    whole = outcome(compiled, options, [stream])
    assert outcome(compiled, options, [stream[i : i + 1] for i in range(len(stream))]) == whole
    for cut in range(1, len(stream)):
        assert outcome(compiled, options, [stream[:cut], stream[cut:]]) == whole


def test_what_is_no_payload_does_not_keep_a_first_member() -> None:
    rules, options, stream = CASES["a removal behind much that is no payload"]
    output = outcome(Rules(rules), options, [stream])[0]
    assert [event.data.replace("\n", "") for event in Parser().feed(output)] == ["{}", "[]"]


def test_a_bom_alone_leaves_nothing_open() -> None:
    for stream in (b"\xef\xbb\xbf", b"\xef\xbb\xbf:"):
        rewriter = Rewriter([], comments="drop")
        assert rewriter.feed(stream) + rewriter.finish() == b"\xef\xbb\xbf"
        assert rewriter.at_boundary
