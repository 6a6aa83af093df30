//! Feeding a stream in pieces, and the one check of all cuts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use sse_fast::{Error, Fed, Function, Json, Options, Path, Rewriter, Rule, Rules, Stats};

/// What came of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// All output.
    pub(crate) output: Vec<u8>,
    pub(crate) stats: Stats,
    pub(crate) captured: BTreeMap<String, Vec<Vec<u8>>>,
    /// The path and the next number of each counter that has begun.
    pub(crate) next_numbers: Vec<(String, i64)>,
    pub(crate) last_event_id: String,
    pub(crate) at_boundary: bool,
    /// The message of the error that ended it.
    pub(crate) error: Option<String>,
}

/// Feeds a stream cut at the offsets given, which ascend, and finishes it.
pub(crate) fn run(rules: &Rules, options: &Options, stream: &[u8], cuts: &[usize]) -> Run {
    let mut rewriter = Rewriter::new(rules, options.clone());
    let mut output = Vec::new();
    let mut error = None;
    for chunk in pieces(stream, cuts) {
        if let Err(e) = feed(&mut rewriter, chunk, &mut output) {
            error = Some(e);
            break;
        }
    }
    let finished = rewriter.finish(&mut output);
    match (&error, finished) {
        (Some(error), Err(again)) => assert_eq!(error.to_string(), again.to_string(), "an error comes again"),
        (Some(error), Ok(())) => panic!("finish() after {error}"),
        (None, Err(e)) => error = Some(e),
        (None, Ok(())) => {
            assert!(matches!(rewriter.feed(b"", &mut output), Err(Error::Finished)));
            assert!(matches!(rewriter.finish(&mut output), Err(Error::Finished)));
        }
    }
    let captured =
        rewriter.captured().map(|(name, _, texts)| (name.to_owned(), texts.iter().map(|text| text.to_vec()).collect()));
    let mut stats = rewriter.stats();
    if error.is_some() {
        // What came in behind the error, with the chunk that brought it, says nothing about the stream.
        stats.bytes_in = 0;
        stats.comments = 0;
    }
    Run {
        stats,
        captured: captured.collect(),
        next_numbers: rewriter.next_numbers().map(|(path, number)| (path.to_owned(), number)).collect(),
        last_event_id: rewriter.last_event_id(),
        at_boundary: rewriter.at_boundary(),
        error: error.map(|e| e.to_string()),
        output,
    }
}

/// Feeds one chunk; what it gives is appended to `output` in either case.
pub(crate) fn feed(rewriter: &mut Rewriter, chunk: &[u8], output: &mut Vec<u8>) -> Result<(), Error> {
    let before = output.len();
    if rewriter.feed(chunk, output)? == Fed::Unchanged {
        assert_eq!(output.len(), before, "an unchanged chunk is not written as well");
        output.extend_from_slice(chunk);
    }
    Ok(())
}

/// The pieces between cuts.
pub(crate) fn pieces<'a>(stream: &'a [u8], cuts: &[usize]) -> impl Iterator<Item = &'a [u8]> {
    let ends = cuts.iter().copied().chain([stream.len()]).map(move |end| end.min(stream.len()));
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    starts.zip(ends).map(move |(start, end)| &stream[Range { start: start.min(end), end }])
}

/// Every ways to cut that are tried: whole, byte by byte, every two cuts of a short stream, some random cuts.
pub(crate) fn check_every_cut(stream: &[u8], mut check: impl FnMut(&[usize])) {
    check(&[]);
    check(&every_byte(stream));
    let step = 1 + stream.len() / 200;
    for first in (0..stream.len()).step_by(step) {
        for second in (first..stream.len()).step_by(step) {
            check(&[first, second]);
        }
    }
    let mut random = Random(stream.len() as u64);
    for _ in 0..20 {
        let mut cuts: Vec<usize> = (0..random.below(8)).map(|_| random.below(stream.len() + 1)).collect();
        cuts.sort_unstable();
        check(&cuts);
    }
}

/// A cut before every byte.
pub(crate) fn every_byte(stream: &[u8]) -> Vec<usize> {
    (1..stream.len()).collect()
}

/// A small generator (splitmix64), so that what is random here is the same everywhere.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, 0 where that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Bytes to read in a failure's message.
pub(crate) fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A rule with all that it says.
pub(crate) fn describe(rule: &Rule) -> String {
    let text = |json: &Json| show(json.text());
    let maybe = |json: &Option<Json>| json.as_ref().map(text);
    match rule {
        Rule::Replace { value, when, .. } => format!("{rule:?} value {} when {:?}", text(value), maybe(when)),
        Rule::Set { value, .. } => format!("{rule:?} value {}", text(value)),
        Rule::Default { value, null_counts_as_missing, .. } => {
            format!("{rule:?} value {} null_counts_as_missing {null_counts_as_missing}", text(value))
        }
        Rule::Remove { when, .. } => format!("{rule:?} when {:?}", maybe(when)),
        Rule::Rename { key, .. } => format!("{rule:?} key {key:?}"),
        Rule::Map { pairs, otherwise, .. } => {
            let pairs: Vec<_> = pairs.iter().map(|(old, new)| (text(old), text(new))).collect();
            format!("{rule:?} pairs {pairs:?} otherwise {:?}", maybe(otherwise))
        }
        Rule::Renumber { start, .. } => format!("{rule:?} start {start:?}"),
        Rule::Capture { name, keep, null_counts_as_missing, .. } => {
            format!("{rule:?} name {name} keep {keep:?} null_counts_as_missing {null_counts_as_missing}")
        }
        Rule::DropEvent { conditions } => format!("{rule:?} {conditions:?}"),
        Rule::Transform { .. } => format!("{rule:?}"),
    }
}

pub(crate) fn path(text: &str) -> Path {
    Path::parse(text).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn json(text: &str) -> Json {
    Json::new(text.as_bytes()).unwrap_or_else(|| panic!("no JSON: {text}"))
}

/// A transform that makes of a value the length of its text, where that is odd.
pub(crate) fn lengths() -> Function {
    Arc::new(|text| Ok((text.len() % 2 == 1).then(|| text.len().to_string().into_bytes())))
}

pub(crate) fn remove(at: &str) -> Rule {
    Rule::Remove { path: path(at), when: None }
}

pub(crate) fn replace(at: &str, value: &str) -> Rule {
    Rule::Replace { path: path(at), value: json(value), when: None }
}

pub(crate) fn set(at: &str, value: &str) -> Rule {
    Rule::Set { path: path(at), value: json(value) }
}

pub(crate) fn rules(list: Vec<Rule>) -> Rules {
    Rules::new(list).unwrap_or_else(|e| panic!("{e}"))
}
