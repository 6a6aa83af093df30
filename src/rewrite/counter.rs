//! Numbers for the events that leave.

use crate::rules::compile::{Compiled, RuleId};
use crate::rules::rule::Rule;

/// The counter of one `Renumber`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    pub(crate) rule: RuleId,
    /// The next number; not known before the first is seen or given.
    pub(crate) next: Option<i64>,
    /// The first number seen in this event.
    pub(crate) found: Option<i64>,
    /// The number of this event.
    pub(crate) current: Option<i64>,
}

impl Counter {
    pub(crate) fn all(rules: &Compiled) -> Vec<Counter> {
        let counters = rules.rules.iter().enumerate().filter_map(|(id, rule)| match rule {
            Rule::Renumber { start, .. } => {
                Some(Counter { rule: id as RuleId, next: *start, found: None, current: None })
            }
            _ => None,
        });
        counters.collect()
    }

    /// The number of this event, taken when it leaves.
    pub(crate) fn number(&mut self) -> i64 {
        let next = &mut self.next;
        let found = self.found;
        *self.current.get_or_insert_with(|| {
            let number = next.or(found).unwrap_or(0);
            *next = Some(number.saturating_add(1));
            number
        })
    }
}
