//! What captures have seen.

use crate::limits::MAX_CAPTURED;
use crate::rules::compile::Compiled;
use crate::rules::rule::Keep;

/// The JSON texts that one `Capture` has kept, in order; at most one unless it keeps all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured {
    /// One vector per capture.
    texts: Vec<Vec<Box<[u8]>>>,
}

impl Captured {
    pub(crate) fn new(rules: &Compiled) -> Self {
        Captured { texts: vec![Vec::new(); rules.captures.len()] }
    }

    /// Whether one more value of this capture would be kept.
    pub(crate) fn wants(&self, rules: &Compiled, capture: usize) -> bool {
        match rules.captures[capture].keep {
            Keep::Last => true,
            Keep::First => self.texts[capture].is_empty(),
            Keep::All => self.texts[capture].len() < MAX_CAPTURED,
        }
    }

    pub(crate) fn keep(&mut self, rules: &Compiled, capture: usize, text: &[u8]) {
        if !self.wants(rules, capture) {
            return;
        }
        let texts = &mut self.texts[capture];
        if rules.captures[capture].keep == Keep::Last {
            texts.clear();
        }
        texts.push(text.into());
    }

    pub(crate) fn texts(&self, capture: usize) -> &[Box<[u8]>] {
        &self.texts[capture]
    }
}
