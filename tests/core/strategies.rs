//! Arbitrary JSON texts, rules, streams and cuts: small alphabets, so that rules meet what they look for.

use std::fmt;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sse_fast::{Comments, Condition, EmptyBlocks, Json, Keep, OnInvalid, Options, Rule};

use crate::drive::{describe, json, lengths, path, show};

/// Bytes that can be read where a test fails.
#[derive(Clone)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", show(&self.0))
    }
}

/// Rules that can be read where a test fails.
#[derive(Clone)]
pub(crate) struct List(pub(crate) Vec<Rule>);

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(describe)).finish()
    }
}

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

/// Steps of paths.
const STEPS: &[&str] =
    &[".a", ".a", ".b", ".c", "['é']", "['']", "[\"model\"]", "[0]", "[1]", "[*]", ".*", "..a", "..b"];

/// Constants of rules.
const CONSTANTS: &[&str] = &[
    "null",
    "1",
    "0",
    "true",
    r#""a""#,
    r#""longer than what it replaces""#,
    "[]",
    r#"{"a":[1,{"b":null}]}"#,
    "1e-07",
];

fn bytes_of(list: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    select(list).prop_map(|text| text.as_bytes().to_vec())
}

fn space() -> impl Strategy<Value = Vec<u8>> {
    bytes_of(SPACES)
}

fn scalar() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => bytes_of(SCALARS),
        // Invalid UTF-8 in a string is none of our business.
        1 => vec(0x80_u8.., 0..4).prop_map(|inside| [&b"\""[..], &inside, b"\""].concat()),
    ]
}

/// A JSON text, as odd as the grammar lets it be.
fn json_text() -> impl Strategy<Value = Vec<u8>> {
    (space(), value(scalar().boxed()), space()).prop_map(|(before, value, after)| [before, value, after].concat())
}

fn value(scalar: BoxedStrategy<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
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
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
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

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        10 => json_text(),
        2 => nearly_json(),
        1 => bytes_of(&["[DONE]", " [DONE]", "[DONE", "hello", "", " ", "\n", "1\n2"]),
    ]
}

/// A stream of whole events with JSON payloads and nothing to break them.
pub(crate) fn valid_stream() -> impl Strategy<Value = Bytes> {
    blocks(json_text().boxed()).prop_map(Bytes)
}

/// Any stream: some end in the middle, some are no streams at all.
pub(crate) fn stream() -> impl Strategy<Value = Bytes> {
    let cut = (blocks(payload().boxed()), any::<Index>()).prop_map(|(mut stream, at)| {
        stream.truncate(at.index(stream.len() + 1));
        stream
    });
    let soup = vec(select(&b"data: {}[]\":,1a\\\r\n"[..]), 0..60);
    prop_oneof![4 => blocks(payload().boxed()), 3 => cut, 3 => series(), 1 => soup].prop_map(Bytes)
}

/// A series of events of one shape, as APIs send them: what stands in them differs, now and then more than that.
fn series() -> impl Strategy<Value = Vec<u8>> {
    const HOLE: u8 = 1;
    let template = value(Just(vec![HOLE]).boxed());
    let slip = option::weighted(0.1, (any::<Index>(), select(&b"{}[],:\"\\x \n0\r"[..])));
    let ending = || prop_oneof![9 => Just(None), 1 => ending().prop_map(Some)];
    let events = vec((vec(scalar(), 6), slip, ending(), ending()), 2..6);
    let lines = bytes_of(&[
        "data: ",
        "data: ",
        "data:",
        "event: a\ndata: ",
        "id: 1\r\ndata: ",
        ": ping\ndata: ",
        "\u{FEFF}data: ",
    ]);
    (template, events, lines, self::ending()).prop_map(|(template, events, lines, usual)| {
        let mut stream = Vec::new();
        for (scalars, slip, ending, blank) in events {
            let mut scalars = scalars.iter().cycle();
            let mut event = lines.clone();
            for &byte in &template {
                match byte {
                    HOLE => event.extend(scalars.next().expect("a cycle")),
                    b'\n' => event.push(b' '),
                    _ => event.push(byte),
                }
            }
            if let Some((at, byte)) = slip {
                let at = at.index(event.len());
                event[at] = byte;
            }
            stream.extend([event, ending.unwrap_or(usual.clone()), blank.unwrap_or(usual.clone())].concat());
        }
        stream
    })
}

fn blocks(payload: BoxedStrategy<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let bom = prop_oneof![9 => Just(""), 1 => Just("\u{FEFF}")].prop_map(|bom| bom.as_bytes().to_vec());
    let no_data = other_lines().prop_map(|lines| [lines, b"\n".to_vec()].concat());
    let block = prop_oneof![5 => event(payload), 1 => no_data];
    (bom, vec(block, 0..4)).prop_map(|(bom, blocks)| [bom, blocks.concat()].concat())
}

/// A block with data: its payload on as many lines as it has line breaks, perhaps with others between them.
fn event(payload: BoxedStrategy<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let between = vec(prop_oneof![6 => Just(Vec::new()), 1 => other_lines()], 8);
    let prefix = bytes_of(&["data: ", "data: ", "data:"]);
    let parts = (other_lines(), payload, between, prefix, vec(ending(), 8), other_lines());
    parts.prop_map(|(before, payload, between, prefix, endings, after)| {
        let mut block = before;
        for (i, line) in payload.split(|&byte| byte == b'\n').enumerate() {
            if i > 0 {
                block.extend(&between[i % between.len()]);
            }
            block.extend(&prefix);
            block.extend(line);
            block.extend(&endings[i % endings.len()]);
        }
        block.extend(after);
        // A CR before a blank line that is an LF would make one CRLF of both.
        let ending = if block.ends_with(b"\r") { &b"\r"[..] } else { &endings[endings.len() - 1] };
        block.extend(ending);
        block
    })
}

fn ending() -> impl Strategy<Value = Vec<u8>> {
    bytes_of(&["\n", "\n", "\r\n", "\r"])
}

/// Lines that are no data.
fn other_lines() -> impl Strategy<Value = Vec<u8>> {
    const LINES: &[&str] = &[
        ":",
        ": ping",
        ":ping: data",
        "event: a",
        "event:b",
        "event: message",
        "event",
        "id: 7",
        "id: 8\0",
        "id",
        "retry: 100",
        "retry: x",
        "foo: {\"a\":1}",
        "dat: 1",
        "datax",
        " data: 1",
    ];
    let line = (bytes_of(LINES), ending()).prop_map(|(line, ending)| [line, ending].concat());
    prop_oneof![2 => Just(Vec::new()), 1 => vec(line, 1..3).prop_map(|lines| lines.concat())]
}

fn steps(last: &'static [&'static str]) -> impl Strategy<Value = String> {
    (vec(select(STEPS), 0..3), select(last)).prop_map(|(steps, last)| format!("${}{last}", steps.concat()))
}

/// A path to anything but the whole.
fn any_path() -> impl Strategy<Value = String> {
    steps(STEPS)
}

/// A path that ends in a name.
fn name_path() -> impl Strategy<Value = String> {
    steps(&[".a", ".b", ".c", "['é']", "['']", ".model"])
}

fn constant() -> impl Strategy<Value = Json> {
    select(CONSTANTS).prop_map(json)
}

/// A rule that edits whatever it finds.
pub(crate) fn mask() -> impl Strategy<Value = Rule> {
    prop_oneof![
        any_path().prop_map(|at| Rule::Remove { path: path(&at), when: None }),
        (any_path(), constant()).prop_map(|(at, value)| Rule::Replace { path: path(&at), value, when: None }),
        (name_path(), constant()).prop_map(|(at, value)| Rule::Set { path: path(&at), value }),
    ]
}

fn default() -> impl Strategy<Value = Rule> {
    (name_path(), constant(), any::<bool>()).prop_map(|(at, value, null_counts_as_missing)| Rule::Default {
        path: path(&at),
        value,
        null_counts_as_missing,
    })
}

fn map() -> impl Strategy<Value = Rule> {
    let old = select(&["null", "1", "0", "true", r#""a""#, r#""""#, "2"][..]).prop_map(json);
    let parts = (any_path(), vec((old, constant()), 0..3), option::of(constant()));
    parts.prop_map(|(at, pairs, otherwise)| Rule::Map { path: path(&at), pairs, otherwise })
}

fn conditional() -> impl Strategy<Value = Rule> {
    prop_oneof![
        (any_path(), constant()).prop_map(|(at, when)| Rule::Remove { path: path(&at), when: Some(when) }),
        (any_path(), constant(), constant()).prop_map(|(at, value, when)| Rule::Replace {
            path: path(&at),
            value,
            when: Some(when)
        }),
    ]
}

fn rename() -> impl Strategy<Value = Rule> {
    let from = prop_oneof![name_path(), steps(&["..a", "..b"])];
    (from, select(&["a", "b", "z", "q\"\n"][..]))
        .prop_map(|(at, key)| Rule::Rename { path: path(&at), key: key.to_owned() })
}

fn renumber() -> impl Strategy<Value = Rule> {
    (name_path(), option::of(-2..100_i64)).prop_map(|(at, start)| Rule::Renumber { path: path(&at), start })
}

fn transform() -> impl Strategy<Value = Rule> {
    any_path().prop_map(|at| Rule::Transform { path: path(&at), function: lengths() })
}

fn capture() -> impl Strategy<Value = Rule> {
    let at = prop_oneof![4 => any_path(), 1 => Just("$".to_owned())];
    let keep = select(&[Keep::Last, Keep::First, Keep::All][..]);
    (select(&["one", "two", "three"][..]), at, keep).prop_map(|(name, at, keep)| Rule::Capture {
        name: name.to_owned(),
        path: path(&at),
        keep,
    })
}

fn drop_event() -> impl Strategy<Value = Rule> {
    let condition = prop_oneof![
        (any_path(), constant()).prop_map(|(at, value)| Condition::Equals(path(&at), value)),
        any_path().prop_map(|at| Condition::Exists(path(&at))),
        any_path().prop_map(|at| Condition::Missing(path(&at))),
        select(&["message", "a", "b", "other"][..]).prop_map(|name| Condition::EventIs(name.to_owned())),
    ];
    vec(condition, 1..3).prop_map(|conditions| Rule::DropEvent { conditions })
}

/// Any rule.
pub(crate) fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        6 => mask(),
        2 => default(),
        2 => map(),
        3 => conditional(),
        3 => rename(),
        1 => renumber(),
        1 => transform(),
        2 => capture(),
        1 => drop_event(),
    ]
}

/// A rule whose edits depend on no more than one value, or on which members an object has before them. Not so a
/// `Renumber` that takes the first number it sees: where that comes late in an event that streams, it is too late.
pub(crate) fn local() -> impl Strategy<Value = Rule> {
    prop_oneof![
        3 => mask(),
        2 => default(),
        2 => map(),
        3 => conditional(),
        1 => (name_path(), 0..9_i64).prop_map(|(at, start)| Rule::Renumber { path: path(&at), start: Some(start) }),
        1 => transform(),
        1 => capture(),
    ]
}

/// A list of rules that the crate takes: what conflicts with an earlier one is left out.
pub(crate) fn list(rule: impl Strategy<Value = Rule>) -> impl Strategy<Value = List> {
    vec(rule, 0..5).prop_map(|rules| {
        let mut list = Vec::new();
        for rule in rules {
            list.push(rule);
            if sse_fast::Rules::new(list.clone()).is_err() {
                list.pop();
            }
        }
        List(list)
    })
}

/// Any options; `max_held` is the default.
pub(crate) fn options() -> impl Strategy<Value = Options> {
    let comments = prop_oneof![
        3 => Just(Comments::Keep),
        1 => Just(Comments::Drop),
        1 => select(&["", "keep-alive"][..]).prop_map(|text| Comments::Replace(text.to_owned())),
    ];
    let on_invalid = prop_oneof![3 => Just(OnInvalid::Pass), 1 => Just(OnInvalid::Drop), 1 => Just(OnInvalid::Raise)];
    let empty_blocks = prop_oneof![2 => Just(EmptyBlocks::Keep), 1 => Just(EmptyBlocks::Drop)];
    (comments, on_invalid, empty_blocks).prop_map(|(comments, on_invalid, empty_blocks)| Options {
        comments,
        on_invalid,
        empty_blocks,
        ..Options::default()
    })
}

/// Where to cut, as parts of a length that is not known yet.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 0..6)
}

/// The cuts in a stream.
pub(crate) fn at(cuts: &[Index], stream: &[u8]) -> Vec<usize> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.sort_unstable();
    cuts
}
