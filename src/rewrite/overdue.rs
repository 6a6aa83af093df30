//! What an event that streams leaves undecided for too long is decided without being seen.

use crate::limits::SPACE_HELD;
use crate::rules::compile::AtEnd;
use crate::rules::rule::Verdict;

use super::edit::{Edit, OPEN, What};
use super::frame::{Edits, Frame, NONE, Renaming};
use super::planner::{Planner, blind_edit};

/// How long a comma, or white space before or after a name, may stay undecided: both together as long as what may be
/// held, and long enough for what anybody writes.
pub(crate) fn patience(max_held: u64) -> u64 {
    max_held / 2 + SPACE_HELD
}

impl Planner<'_> {
    /// Decides what has been pending for too long, if all before `pos` is read.
    pub(crate) fn decide_overdue(&mut self, pos: u64) {
        while let Some(at) = self.plan.edits.iter().position(Edit::is_pending) {
            if self.plan.edits[at].end > pos {
                break;
            }
            self.decide_blindly(at);
        }
        if self.plan.tail != NONE && self.plan.tail_deadline <= pos {
            self.plan.tail = NONE;
            let frame = self.top();
            frame.released = true;
            frame.name_released = true;
            frame.space_released = true;
        }
    }

    /// Decides what is pending in the first half of the plan, so that it can leave. False where nothing is.
    pub(crate) fn decide_half(&mut self) -> bool {
        let half = self.plan.edits.len().div_ceil(2);
        let mut decided = false;
        for at in 0..half {
            if self.plan.edits.get(at).is_some_and(Edit::is_pending) {
                self.decide_blindly(at);
                decided = true;
            }
        }
        decided
    }

    fn decide_blindly(&mut self, at: usize) {
        let number = self.plan.base + at;
        match self.plan.edits[at].what {
            What::MayRename => self.rename_overdue(number),
            What::Undecided => self.decide_unseen(number),
            _ => {
                self.plan.oversize += 1;
                self.void_edit(number);
            }
        }
    }

    /// The object is larger than may be held: the rename is carried out, though the new name may still come.
    fn rename_overdue(&mut self, number: usize) {
        let at = self.plan.renames.partition_point(|renaming| renaming.edit < number);
        let renaming = self.plan.renames.get(at).filter(|renaming| renaming.edit == number);
        let Some(&Renaming { name_end, frame, child, .. }) = renaming else { return self.void_edit(number) };
        let frame = self.plan.frames[frame];
        let renames = &self.rules.state(child).renames;
        let may_act = self
            .rules
            .state(frame.state)
            .at_end
            .iter()
            .find(|at_end| renames.contains(&at_end.rule) && self.plan.may_take(&frame, at_end.slot, at_end.rule));
        let Some(&AtEnd { rule, slot, .. }) = may_act else { return self.void_edit(number) };
        self.plan.take(&frame, slot, rule);
        if let Some(edit) = self.plan.get(number) {
            *edit = Edit { end: name_end, what: What::Rename(rule), ..*edit };
        }
    }

    /// The value is larger than may be held: the rules that would have to see it pass it, the first that need not acts.
    fn decide_unseen(&mut self, number: usize) {
        self.plan.oversize += 1;
        let Some(depth) = self.plan.frames.iter().position(|frame| frame.edit == Edits::Pending(number)) else {
            return self.void_edit(number);
        };
        let frame = self.plan.frames[depth];
        let edits = &self.rules.state(frame.child).edits;
        let act = edits.iter().find(|&&id| self.rules.rule(id).is_unconditional());
        let Some(&id) = act else { return self.void_edit(number) };
        self.settle_number(id);
        let verdict = self.rules.rule(id).blind_verdict();
        let removal = verdict == Verdict::Remove && !frame.released;
        let from = if removal { self.removal_start(&frame, frame.value_start) } else { frame.value_start };
        let what = if removal { What::Drop } else { blind_edit(id, verdict) };
        let watched = self.watched_from(depth + 1);
        let open = self.plan.cover(number, from, OPEN, what);
        self.plan.open = Some(open);
        self.plan.void = Some(depth);
        self.plan.tail = NONE;
        self.plan.frames[depth].edit = Edits::Open { removal };
        self.plan.frames[depth].unseen = true;
        self.watch_again(depth + 1, &watched);
    }

    /// Of the frames from `depth` on, those whose current value is watched by a capture, and is not yet too large.
    fn watched_from(&self, depth: usize) -> Vec<usize> {
        let is_watched = |&at: &usize| {
            let Frame { child, edit, watch, .. } = self.plan.frames[at];
            let number = match edit {
                Edits::Pending(number) => Some(number),
                _ => watch,
            };
            !self.rules.state(child).captures.is_empty() && number.is_some_and(|number| self.plan.is_pending(number))
        };
        (depth..self.plan.frames.len()).filter(is_watched).collect()
    }

    /// The edits inside a value that goes are void, what is watched there is still watched.
    fn watch_again(&mut self, depth: usize, watched: &[usize]) {
        for at in depth..self.plan.frames.len() {
            let start = self.plan.frames[at].value_start;
            let watch = watched.contains(&at).then(|| self.pend(start, start, What::Watch));
            let inner = &mut self.plan.frames[at];
            inner.edit = Edits::No;
            inner.removed = None;
            inner.watch = watch;
            inner.unseen = watch.is_none();
        }
    }
}
