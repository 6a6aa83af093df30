//! The same rules for a body that is one JSON text.

use crate::error::Error;
use crate::json::scan::{Scanner, Status};
use crate::rules::compile::Rules;

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
        let rules = &*self.0;
        let raw = Raw { held: &[], chunk: body, chunk_at: 0, lines: false };
        let mut plan = Plan::new();
        plan.budget = usize::MAX;
        let mut planner = Planner {
            plan: &mut plan,
            rules,
            raw,
            captured: &mut Captured::new(rules),
            counters: &mut Counter::all(rules),
            max_held: NO_LIMIT,
            comment: b"",
        };
        let mut scanner = Scanner::new();
        scanner.set_name_limit(rules.longest_name);
        planner.begin();
        scanner.feed(body, 0, &mut planner);
        if scanner.status() != Status::Complete {
            planner.plan.invalidate(0);
        }
        planner.call_functions().map_err(|(error, _)| error)?;
        let mut out = Out::new(raw, out);
        planner.emit(&mut Mark { emitted: 0, rewritten: false }, body.len() as u64, &mut out);
        let (_, unchanged) = out.finish(true);
        Ok(if unchanged { Fed::Unchanged } else { Fed::Written })
    }
}
