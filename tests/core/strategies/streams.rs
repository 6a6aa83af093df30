//! Event streams.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::texts::{json_text, nearly_json, scalar, value};
use super::{Bytes, bytes_of};

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
    prop_oneof![4 => blocks(payload().boxed()), 3 => cut, 3 => series(), 1 => crowd(), 1 => soup].prop_map(Bytes)
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

/// An event with so many edits, or lines between its data lines, that these are more than may be held.
fn crowd() -> impl Strategy<Value = Vec<u8>> {
    const MIDDLES: &[&str] =
        &["{\"a\":1},", "\"a\":1,", "\"b\":[],", "{},", "1,", "\n: c\ndata: ", "\nid: 1\ndata:", "\ndata: "];
    let beginning = bytes_of(&["data: [", "data: {", "data: {\"a\":[", "data: {\"b\":[", "data: {\"a\":{\"b\":["]);
    let end = bytes_of(&["", "1]\n\n", "1]}\n\n", "{}]}}\n\n", "\"c\":1}\n\n", "x\n\n"]);
    let middle = vec(bytes_of(MIDDLES), 1..4).prop_map(|middles| middles.concat());
    (beginning, middle, 5..60_usize, end)
        .prop_map(|(beginning, middle, times, end)| [beginning, middle.repeat(times), end].concat())
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
