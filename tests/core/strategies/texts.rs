//! JSON texts, and what is nearly one.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Bytes, bytes_of};

/// White space between tokens; a line break puts what follows on a further data line.
const SPACES: &[&str] = &["", "", "", "", " ", "  ", "\t", "\n", " \n "];

/// Member names, plain and spelled otherwise.
const NAMES: &[&str] =
    &["a", "b", "c", r"\u0061", r"\u0062", "", "é", r"\u00e9", "model", r"mod\u0065l", r"\ud83d", "x"];

const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "NaN",
    "Infinity",
    "-Infinity",
    "0",
    "-0",
    "1",
    "1.0",
    "10e-1",
    "1E+0",
    "2",
    "7",
    "-12",
    "18446744073709551616",
    "1e-07",
    "0.30000000000000004",
    r#""""#,
    r#""a""#,
    r#""\u0061""#,
    r#""\ud800""#,
    r#""\ud83d\ude00 \/ \\ \" \n""#,
    r#""data: }],{[:""#,
    "\"\u{2028}é😀\"",
];

fn space() -> impl Strategy<Value = Vec<u8>> {
    bytes_of(SPACES)
}

pub(super) fn scalar() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => bytes_of(SCALARS),
        // Invalid UTF-8 in a string is none of our business.
        1 => vec(0x80_u8.., 0..4).prop_map(|inside| [&b"\""[..], &inside, b"\""].concat()),
    ]
}

/// A JSON text, as odd as the grammar lets it be.
pub(super) fn json_text() -> impl Strategy<Value = Vec<u8>> {
    (space(), value(scalar().boxed()), space()).prop_map(|(before, value, after)| [before, value, after].concat())
}

pub(super) fn value(scalar: BoxedStrategy<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    scalar.prop_recursive(4, 24, 5, |inner| {
        let name = bytes_of(NAMES).prop_map(|name| [b"\"", &name[..], b"\""].concat());
        let member = (name, space(), space(), inner.clone())
            .prop_map(|(name, before, after, value)| [name, before, b":".to_vec(), after, value].concat());
        prop_oneof![
            3 => listed(member, b'{', b'}'),
            2 => listed(inner, b'[', b']'),
        ]
    })
}

/// Items between brackets, with commas and white space.
fn listed(item: impl Strategy<Value = Vec<u8>>, open: u8, close: u8) -> impl Strategy<Value = Vec<u8>> {
    (space(), vec((space(), item, space()), 0..5)).prop_map(move |(inside, items)| {
        let items: Vec<Vec<u8>> =
            items.into_iter().map(|(before, item, after)| [before, item, after].concat()).collect();
        let inside = if items.is_empty() { inside } else { items.join(&b","[..]) };
        [&[open], &inside[..], &[close]].concat()
    })
}

/// A JSON text, or one that is nearly one.
pub(crate) fn body() -> impl Strategy<Value = Bytes> {
    prop_oneof![json_text(), nearly_json()].prop_map(Bytes)
}

/// A text that is nearly JSON: something went, came or changed.
pub(super) fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let junk = select(&b"{}[],:\"\\x \n0-.eENIt\x01\xFF"[..]);
    (json_text(), any::<Index>(), junk, 0..4_u8).prop_map(|(mut text, at, junk, what)| {
        let at = at.index(text.len());
        match what {
            0 => drop(text.remove(at)),
            1 => text.insert(at, junk),
            2 => text[at] = junk,
            _ => text.truncate(at),
        }
        text
    })
}
