"""The two oracles agree with each other, so that an engine which agrees with both has been seen by three."""

from __future__ import annotations

import oracle_tree
import pytest
import strategies
from hypothesis import given
from oracle import dispatched, expected
from oracle_json import Cut, Invalid, decode, equals, parse


@given(strategies.payloads(), strategies.rule_lists(strategies.transforms))
def test_byte_and_tree_oracle_agree(payload, forms):
    text = payload.replace(b"\n", b" ")
    out = expected(b"data:" + text + b"\n\n", forms).output
    assert oracle_tree.parse(out[5:-2]) == oracle_tree.rewrite(oracle_tree.parse(text), forms, {})


@pytest.mark.parametrize("text", [b"[", b'{"a', b'{"a\\', b'["\\u00', b"tru", b'{"a":1,', b"", b" "])
def test_cut_text(text):
    with pytest.raises(Cut):
        parse(text)


@pytest.mark.parametrize("text", [b"]", b"[1 2]", b"[01]", b'["\x01"]', b'["\\x"]', b"{a:1}", b"[1,]"])
def test_invalid_text(text):
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert caught.type is Invalid


def test_strings():
    assert decode(b'"mod\\u0065l"') == "model"
    assert decode(b'"\\ud83d\\ude00"') == "😀"
    assert decode(b'"\\ud83d"') == "\ud83d"
    assert decode(b'"\xff"') is None


def test_equality():
    for text, constant, same in [
        (b"1.0", 1, True),
        (b"100e-2", 1, True),
        (b"true", 1, False),
        (b"18446744073709551617", 2**64, False),
        (b'{"a":1,"b":2,"a":3}', {"b": 2, "a": 3.0}, True),
        (b'"\\u0061"', "a", True),
        (b"NaN", "NaN", False),
        (b"-0.0", 0, True),
    ]:
        assert equals(parse(text).value, text, constant) is same, text


def test_dispatch():
    stream = b"\xef\xbb\xbfid: 1\r\rdata:a\r\ndata\n\nevent:x\ndata: \xff\n\ndata: lost\n"
    assert dispatched(stream) == [("message", "a\n", "1", None), ("x", "\ufffd", "1", None)]
