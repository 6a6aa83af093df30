//! What must agree, as checks that tests and fuzz targets share. The error says what did not.

use std::fmt::{self, Debug, Display};

use serde::de::IgnoredAny;
use sse_fast::{Error, Event, Fed, Options, Parser, Rewriter, Rule, Rules};

use crate::drive::{every_byte, feed, pieces, run, show};
use crate::oracle::{self, json, lines};

pub(crate) type Agreement = Result<(), String>;

fn same<T: PartialEq + Debug>(what: impl Display, got: T, expected: T) -> Agreement {
    if got == expected { Ok(()) } else { Err(format!("{what}\n     got: {got:?}\nexpected: {expected:?}")) }
}

/// Bytes that can be read in an error.
#[derive(PartialEq)]
struct Shown<'a>(&'a [u8]);

impl Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(self.0))
    }
}

fn compile(rules: &[Rule]) -> Rules {
    Rules::new(rules.to_vec()).expect("rules that the crate takes")
}

/// The cuts never show.
pub(crate) fn cuts(rules: &[Rule], options: &Options, stream: &[u8], cuts: &[usize]) -> Agreement {
    let rules = compile(rules);
    let whole = run(&rules, options, stream, &[]);
    for (cutting, cuts) in [("byte by byte", &every_byte(stream)[..]), ("cut", cuts)] {
        let other = run(&rules, options, stream, cuts);
        same(format_args!("output, {cutting}"), Shown(&other.output), Shown(&whole.output))?;
        same(format_args!("result, {cutting}"), &other, &whole)?;
    }
    Ok(())
}

/// Without rules and policies the stream is the same, but for the ending that a last event lacks.
pub(crate) fn identity(max_held: usize, stream: &[u8], cuts: &[usize]) -> Agreement {
    let options = Options { max_held, ..Options::default() };
    let output = run(&compile(&[]), &options, stream, cuts).output;
    let ending = output.strip_prefix(stream).unwrap_or(b"something else");
    match ending.iter().all(|byte| b"\r\n".contains(byte)) && ending.len() <= 4 {
        true => Ok(()),
        false => same("output", Shown(&output), Shown(stream)),
    }
}

/// The rewriter does what the oracle says.
pub(crate) fn rewriter(rules: &[Rule], options: &Options, stream: &[u8]) -> Agreement {
    let expected = oracle::rewrite(rules, options, stream);
    let run = run(&compile(rules), options, stream, &[]);
    same("output", Shown(&run.output), Shown(&expected.output()))?;
    same("captured", run.captured, expected.captured)?;
    same("next numbers", run.next_numbers, expected.next_numbers)?;
    if let Some((offset, _)) = expected.error {
        return same("error", run.error, Some(Error::InvalidEvent { offset }.to_string()));
    }
    same("error", run.error, None)?;
    same("stats", run.stats, expected.stats)?;
    same("last event ID", run.last_event_id, expected.last_event_id)?;
    same("boundary", run.at_boundary, expected.at_boundary)
}

/// Byte by byte, each block is there with the byte that completes it, and nothing before.
pub(crate) fn promptness(rules: &[Rule], options: &Options, stream: &[u8]) -> Agreement {
    let expected = oracle::rewrite(rules, options, stream);
    let mut rewriter = Rewriter::new(&compile(rules), options.clone());
    let mut parts = expected.parts.iter().peekable();
    let (mut output, mut due) = (Vec::new(), Vec::new());
    for (at, byte) in stream.iter().enumerate() {
        if feed(&mut rewriter, &[*byte], &mut output).is_err() {
            let is_expected = expected.error.is_some_and(|(_, known)| at < known);
            return same(format_args!("error with byte {at}"), true, is_expected);
        }
        while let Some((_, bytes)) = parts.next_if(|(end, _)| *end <= at + 1) {
            due.extend(bytes);
        }
        same(format_args!("output of byte {at}"), Shown(&output), Shown(&due))?;
        output.clear();
        due.clear();
        same(format_args!("boundary after byte {at}"), rewriter.at_boundary(), true)?;
    }
    Ok(())
}

/// The payloads are those that the oracle gives, whatever may be held. An event that streams gives up two things: it may
/// lose less of the white space around what it removes, so that between tokens does not count, and a removal behind much
/// of it leaves `null`.
pub(crate) fn payloads(rules: &[Rule], options: &Options, stream: &[u8], cuts: &[usize]) -> Agreement {
    let expected = oracle::rewrite(rules, options, stream).output();
    let output = run(&compile(rules), options, stream, cuts).output;
    // Where the first block goes, a name that begins with U+FEFF may come to the front: a client takes that for a BOM.
    let bom = "\u{FEFF}".as_bytes();
    if [&output, &expected].iter().any(|each| each.starts_with(bom)) && !stream.starts_with(bom) {
        return Ok(());
    }
    let (got, expected) = (without_space(&output), without_space(&expected));
    let is_same = |(got, expected): (&String, &String)| got == expected || is_but_for_nulls(got, expected);
    match got.len() == expected.len() && got.iter().zip(&expected).all(is_same) {
        true => Ok(()),
        false => same("payloads", got, expected),
    }
}

fn without_space(stream: &[u8]) -> Vec<String> {
    let strip = |event: &Event| {
        let (mut in_string, mut escaped) = (false, false);
        let is_kept = |c: &char| {
            let kept = in_string || !" \t\r\n".contains(*c);
            in_string ^= *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            kept
        };
        event.data.chars().filter(is_kept).collect()
    };
    lines::dispatch(stream).0.iter().map(strip).collect()
}

/// Are they the same text, but for members and elements that the first has more, all of them null?
fn is_but_for_nulls(got: &str, expected: &str) -> bool {
    match (json::parse(got.as_bytes()), json::parse(expected.as_bytes())) {
        (Ok(more), Ok(less)) => {
            is_node_but_for_nulls((got.as_bytes(), &more, &more[0]), (expected.as_bytes(), &less, &less[0]))
        }
        _ => false,
    }
}

type Place<'a> = (&'a [u8], &'a [json::Node], &'a json::Node);

fn is_node_but_for_nulls((got, more, node): Place<'_>, (expected, less, other): Place<'_>) -> bool {
    let (text, due) = (&got[node.span.clone()], &expected[other.span.clone()]);
    if node.kind != other.kind || !node.kind.is_container() {
        return text == due;
    }
    let name = |node: &json::Node| node.key.as_ref().map(|key| key.name.clone());
    let mut due = other.children.iter().map(|&child| &less[child]).peekable();
    for child in node.children.iter().map(|&child| &more[child]) {
        let fits = |next: &&json::Node| {
            name(child) == name(next) && is_node_but_for_nulls((got, more, child), (expected, less, next))
        };
        if due.next_if(fits).is_none() && got[child.span.clone()] != *b"null" {
            return false;
        }
    }
    due.next().is_none()
}

/// A body becomes what the payload of an event would.
pub(crate) fn body(rules: &[Rule], text: &[u8]) -> Agreement {
    let mut output = Vec::new();
    let fed = compile(rules).rewrite_json(text, &mut output).expect("no function fails");
    if fed == Fed::Unchanged {
        same("output of an unchanged body", Shown(&output), Shown(b""))?;
        output.extend(text);
    }
    same("body", Shown(&output), Shown(&oracle::rewrite_body(rules, text)))
}

/// The parser dispatches as the standard says.
pub(crate) fn parser(stream: &[u8], cuts: &[usize]) -> Agreement {
    let (events, last_event_id, retry) = lines::dispatch(stream);
    for cuts in [&[], &every_byte(stream)[..], cuts] {
        let mut parser = Parser::new();
        let mut dispatched = Vec::new();
        for chunk in pieces(stream, cuts) {
            parser.feed(chunk, |event| dispatched.push(event));
        }
        same(format_args!("events, cut at {cuts:?}"), &dispatched, &events)?;
        same("last event ID", parser.last_event_id(), &last_event_id)?;
        same("reconnection time", parser.retry(), retry)?;
    }
    Ok(())
}

/// The crate takes a text for JSON where serde_json does, which knows no `NaN` and `Infinity`. Read for nothing it minds
/// neither depth, nor lone surrogates, nor invalid UTF-8 in strings.
pub(crate) fn scanner(text: &[u8]) -> Agreement {
    let text: Vec<u8> = text.iter().map(|byte| if b"\r\n".contains(byte) { b' ' } else { *byte }).collect();
    let stream = [b"data: ", &text[..], b"\n\n"].concat();
    let stats = run(&compile(&[]), &Options::default(), &stream, &[]).stats;
    let is_json = serde_json::from_slice::<IgnoredAny>(&without_odd_literals(&text)).is_ok();
    let is_valid = stats.done || (is_json && depth(&text) <= sse_fast::MAX_DEPTH);
    same(format_args!("valid: {:?}", Shown(&text)), stats.invalid == 0, is_valid)?;
    same("valid to the oracle", json::parse(&text).is_ok() || stats.done, is_valid)
}

/// How many containers are open at once.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in outside_strings(text).filter_map(|(at, is_outside)| is_outside.then_some(text[at])) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// `null` in place of `NaN`, `Infinity` and `-Infinity` outside of strings.
fn without_odd_literals(text: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    let mut read = 0;
    for (at, is_outside) in outside_strings(text) {
        let word = [&b"NaN"[..], b"Infinity", b"-Infinity"].into_iter().find(|word| text[at..].starts_with(word));
        match word {
            _ if at < read => {}
            Some(word) if is_outside => {
                output.extend(b"null");
                read = at + word.len();
            }
            _ => output.push(text[at]),
        }
    }
    output
}

/// Each byte's offset, and whether it is outside of strings.
fn outside_strings(text: &[u8]) -> impl Iterator<Item = (usize, bool)> {
    let (mut in_string, mut escaped) = (false, false);
    text.iter().enumerate().map(move |(at, &byte)| {
        let was_in_string = in_string;
        in_string ^= byte == b'"' && !escaped;
        escaped = was_in_string && byte == b'\\' && !escaped;
        (at, !was_in_string && !in_string)
    })
}
