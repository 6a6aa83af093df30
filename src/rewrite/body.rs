//! The same rules for a body that is one JSON text.

use crate::error::Error;
use crate::json::scan::{Scanner, Status};
use crate::rules::compile::Rules;
use crate::rules::rule::Keep;

use super::capture::Captured;
use super::counter::Counter;
use super::emit::Mark;
use super::plan::Plan;
use super::planner::Planner;
use super::rewriter::Fed;
use super::splice::{Out, Raw};

/// A body is in memory already, so no value in it is too large to look at.
const NO_LIMIT: u64 = 1 << 62;

impl Rules {
    /// Rewrites a body that is one JSON text, as a stream's payload would be; `DropEvent` and `Capture` do nothing.
    /// A body that is no JSON object or array passes unchanged.
    ///
    /// # Errors
    /// [`Error::Transform`] where a transform's function fails.
    pub fn rewrite_json(&self, body: &[u8], out: &mut Vec<u8>) -> Result<Fed, Error> {
        let raw = Raw { held: &[], chunk: body, chunk_at: 0, lines: false };
        let mut plan = Plan::new();
        let mut captured = Captured::new(&self.0);
        let mut counters = Counter::all(&self.0);
        let mut planner = self.scan(raw, &mut plan, &mut captured, &mut counters);
        planner.call_functions().map_err(|(error, _)| error)?;
        let mut out = Out::new(raw, out);
        planner.emit(&mut Mark { emitted: 0, rewritten: false }, body.len() as u64, &mut out);
        let (_, unchanged) = out.finish(true);
        Ok(if unchanged { Fed::Unchanged } else { Fed::Written })
    }

    /// What each capture sees in a body that is one JSON text: its name, what it keeps, and the JSON text of each value.
    /// Nothing where the body is no JSON object or array.
    pub fn read_json(&self, body: &[u8]) -> impl Iterator<Item = (&str, Keep, Vec<Vec<u8>>)> {
        let raw = Raw { held: &[], chunk: body, chunk_at: 0, lines: false };
        let mut plan = Plan::new();
        let mut captured = Captured::new(&self.0);
        let mut counters = Counter::all(&self.0);
        self.scan(raw, &mut plan, &mut captured, &mut counters);
        plan.take_captures(&self.0, raw, &mut captured);
        self.0.captures.iter().enumerate().map(move |(i, capture)| {
            (capture.name.as_str(), capture.keep, captured.texts(i).map(<[u8]>::to_vec).collect())
        })
    }

    /// Plans the edits of a body; none where it is not JSON.
    fn scan<'a>(
        &'a self,
        raw: Raw<'a>,
        plan: &'a mut Plan,
        captured: &'a mut Captured,
        counters: &'a mut [Counter],
    ) -> Planner<'a> {
        let rules = &*self.0;
        plan.budget = usize::MAX;
        let mut planner = Planner { plan, rules, raw, captured, counters, max_held: NO_LIMIT, comment: b"" };
        let mut scanner = Scanner::new();
        scanner.set_name_limit(rules.longest_name);
        planner.begin();
        scanner.feed(raw.chunk, 0, &mut planner);
        if scanner.status() != Status::Complete {
            planner.plan.invalidate(0);
        }
        planner
    }
}
