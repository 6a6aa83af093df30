//! What captures have seen.

use crate::limits::MAX_CAPTURED;
use crate::rules::compile::Compiled;
use crate::rules::rule::Keep;

/// The JSON text of a value, and where in the stream it began.
#[derive(Clone, Debug)]
struct Text {
    at: u64,
    text: Box<[u8]>,
}

/// Per capture the values it has kept, in the order in which they began; at most one unless it keeps all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured(Vec<Vec<Text>>);

impl Captured {
    pub(crate) fn new(rules: &Compiled) -> Self {
        Captured(vec![Vec::new(); rules.captures.len()])
    }

    /// Takes a value that began at `at`. One that holds others of its capture begins before them, but comes after them.
    pub(crate) fn keep(&mut self, rules: &Compiled, capture: usize, at: u64, text: &[u8]) {
        if rules.captures[capture].skips_null && text == b"null" {
            return;
        }
        let texts = &mut self.0[capture];
        let later = texts.iter().rev().take_while(|other| other.at > at).count();
        let place = texts.len() - later;
        match rules.captures[capture].keep {
            Keep::Last if later > 0 => return,
            Keep::First if place > 0 => return,
            Keep::All if texts.len() == MAX_CAPTURED => return,
            Keep::Last | Keep::First => texts.clear(),
            Keep::All => {}
        }
        texts.insert(place.min(texts.len()), Text { at, text: text.into() });
    }

    pub(crate) fn texts(&self, capture: usize) -> impl Iterator<Item = &[u8]> {
        self.0[capture].iter().map(|text| &*text.text)
    }
}
