//! Edits into output: functions are called, texts are written, what no edit covers passes.

use crate::error::Error;
use crate::rules::compile::{Compiled, RuleId};
use crate::rules::rule::Rule;

use super::counter::Counter;
use super::edit::{OPEN, What};
use super::planner::Planner;
use super::splice::Out;

/// Where the output stands.
pub(crate) struct Mark {
    /// Offset up to which the input has left or gone.
    pub(crate) emitted: u64,
    /// An edit of the payload has left.
    pub(crate) rewritten: bool,
}

impl Planner<'_> {
    /// Calls each function that has a value to see, outermost first, before anything from there on leaves. An error comes
    /// with the offset of the value that the function failed on.
    pub(crate) fn call_functions(&mut self) -> Result<(), (Error, u64)> {
        let mut from = 0;
        while let Some((i, rule, start, end)) = self.plan.next_function(from) {
            let text = self.call_function(rule, start, end);
            self.plan.function_said(i, text);
            from = i;
        }
        self.plan.failed.take().map_or(Ok(()), Err)
    }

    /// Calls the rule's function. Where that fails the value stays, and the error waits for the event to leave.
    pub(super) fn call_function(&mut self, rule: u32, start: u64, end: u64) -> Option<Vec<u8>> {
        let Rule::Transform { function, .. } = self.rules.rule(rule) else { return None };
        if self.plan.failed.is_some() {
            return None;
        }
        function(&self.raw.payload(start, end)).unwrap_or_else(|error| {
            self.plan.failed = Some((Error::Transform(error), start));
            None
        })
    }

    /// Splices everything up to `upto` into the output.
    pub(crate) fn emit(&mut self, mark: &mut Mark, upto: u64, out: &mut Out<'_, '_>) {
        let mut done = 0;
        while let Some(&edit) = self.plan.edits.get(done) {
            if edit.is_pending() || edit.start > upto || (edit.start == upto && edit.end > upto) {
                break;
            }
            if edit.what != What::Nothing {
                out.copy(mark.emitted, edit.start);
                mark.rewritten |= !edit.is_of_line();
                write_edit(edit.what, self.rules, self.counters, self.comment, &self.plan.made, out);
                mark.emitted = edit.end.min(upto);
                if edit.end > upto {
                    let rest = &mut self.plan.edits[done];
                    rest.what = if edit.is_of_line() { What::DropComment } else { What::Drop };
                    rest.start = upto;
                    break;
                }
            }
            done += 1;
        }
        if mark.emitted < upto {
            out.copy(mark.emitted, upto);
            mark.emitted = upto;
        }
        self.plan.forget(done, mark.emitted);
    }

    /// Forgets what would be spliced up to `upto`.
    pub(crate) fn discard(&mut self, mark: &mut Mark, upto: u64) {
        let gone = self.plan.edits.iter().take_while(|edit| !edit.is_pending() && edit.end <= upto && edit.end != OPEN);
        let gone = gone.count();
        mark.emitted = mark.emitted.max(upto);
        self.plan.forget(gone, mark.emitted);
    }
}

/// Writes what comes in the place of an edit's span.
#[inline]
pub(crate) fn write_edit(
    what: What,
    rules: &Compiled,
    counters: &mut [Counter],
    comment: &[u8],
    made: &[Box<[u8]>],
    out: &mut Out<'_, '_>,
) {
    match what {
        What::Text(rule, choice) => out.write(rules.rule(rule).text(choice)),
        What::Null => out.write(b"null"),
        What::Number(rule) => write_number(rule, counters, out),
        What::Made(i) => out.write(&made[i as usize]),
        What::Rename(rule) => out.write(&rules.members[rule as usize]),
        What::Insert(rule, comma) => {
            if comma {
                out.write(b",");
            }
            out.write(&rules.members[rule as usize]);
            write_number(rule, counters, out);
        }
        What::Comment => out.write(comment),
        What::Break => out.write(b"\n"),
        _ => {}
    }
}

/// The event's number, if the rule numbers events.
fn write_number(rule: RuleId, counters: &mut [Counter], out: &mut Out<'_, '_>) {
    if let Some(counter) = counters.iter_mut().find(|counter| counter.rule == rule) {
        out.write(counter.number().to_string().as_bytes());
    }
}
