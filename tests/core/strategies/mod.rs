//! Arbitrary JSON texts, rules, streams, options and cuts: small alphabets, so that rules meet what they look for.

mod rules;
mod streams;
mod texts;

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sse_fast::{Comments, EmptyBlocks, OnInvalid, Options, Rule};

use crate::drive::{describe, show};

pub(crate) use rules::{list, local, mask, rule};
pub(crate) use streams::{stream, valid_stream};
pub(crate) use texts::body;

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

fn bytes_of(list: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    select(list).prop_map(|text| text.as_bytes().to_vec())
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
