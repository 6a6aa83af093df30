//! The planner: what the scanner tells becomes edits.

use crate::json::scan::Sink;
use crate::limits::MAX_CAPTURED;
use crate::rules::compile::{AtEnd, Compiled, DEAD, RuleId, Slot, State};
use crate::rules::rule::{Condition, Keep, Rule, Verdict};

use super::capture::Captured;
use super::counter::Counter;
use super::edit::{Edit, OPEN, What};
use super::frame::{Edits, Frame, NONE, Renaming};
use super::overdue::patience;
use super::plan::Plan;
use super::splice::Raw;

/// The plan at work: what the scanner tells becomes edits.
pub(crate) struct Planner<'a> {
    pub(crate) plan: &'a mut Plan,
    pub(crate) rules: &'a Compiled,
    pub(crate) raw: Raw<'a>,
    pub(crate) captured: &'a mut Captured,
    pub(crate) counters: &'a mut [Counter],
    pub(crate) max_held: u64,
    /// The text for comments.
    pub(crate) comment: &'a [u8],
}

impl Planner<'_> {
    /// The payload begins.
    pub(crate) fn begin(&mut self) {
        let start = self.rules.start;
        self.plan.frames.push(Frame::new(DEAD, start, false, 0));
    }

    /// How long a comma, white space or a name may stay undecided.
    pub(super) fn patience(&self) -> u64 {
        patience(self.max_held)
    }

    pub(super) fn top(&mut self) -> &mut Frame {
        self.plan.frames.last_mut().expect("a value has a frame around it")
    }

    /// Drops of a removed first value end where the next one begins.
    fn close_gap(&mut self, at: u64) {
        let depth = self.plan.frames.len() - 1;
        if let Some(number) = self.plan.frames[depth].removed.take()
            && let Some(edit) = self.plan.get(number)
            && edit.end == OPEN
        {
            edit.end = at;
        }
    }

    fn begin_value(&mut self, at: u64) {
        let rules = self.rules;
        let depth = self.plan.frames.len() - 1;
        if depth > 0 && !self.plan.frames[depth].object {
            self.close_gap(at);
            let state = rules.state(self.plan.frames[depth].state);
            let frame = self.top();
            frame.released &= frame.index > 0;
            frame.child = state.element(frame.index);
            frame.index += 1;
        }
        let frame = self.top();
        frame.value_start = at;
        frame.watch = None;
        frame.unseen = false;
        let begun = std::mem::replace(&mut frame.edit, Edits::No);
        let child = rules.state(frame.child);
        if child.wants_value {
            self.begin_wanted(child, at, begun);
        }
        self.plan.tail = NONE;
    }

    fn begin_wanted(&mut self, state: &State, at: u64, begun: Edits) {
        for hit in &state.hits {
            let Rule::DropEvent { conditions } = self.rules.rule(hit.rule) else { continue };
            if !matches!(conditions[hit.condition], Condition::Equals(..)) {
                self.set_hit(hit.bit);
            }
        }
        if matches!(begun, Edits::Open { .. }) {
            self.top().edit = begun;
        } else if self.plan.void.is_none() {
            self.begin_edits(state, at);
        }
        if !state.captures.is_empty() && !matches!(self.top().edit, Edits::Pending(_)) {
            let number = self.pend(at, at, What::Watch);
            self.top().watch = Some(number);
        }
    }

    fn set_hit(&mut self, bit: usize) {
        if self.plan.hits.is_empty() {
            self.plan.hits.resize(self.rules.hits.div_ceil(64), 0);
        }
        self.plan.hits[bit / 64] |= 1 << (bit % 64);
    }

    /// Records a pending edit of the value that begins at `at`.
    pub(super) fn pend(&mut self, start: u64, at: u64, what: What) -> usize {
        self.plan.push(Edit { start, end: at + self.max_held, what })
    }

    /// Where a removal of the current value begins.
    pub(super) fn removal_start(&self, frame: &Frame, at: u64) -> u64 {
        match (frame.kept, frame.object) {
            (true, _) => frame.comma,
            (false, true) => frame.name_start,
            (false, false) => at,
        }
    }

    fn begin_edits(&mut self, state: &State, at: u64) {
        let frame = *self.top();
        let first = state.edits.first().map(|&id| (id, self.rules.rule(id).blind_verdict()));
        let from = self.removal_start(&frame, at);
        match first {
            None => self.begin_rename(state, &frame, at),
            Some((_, Verdict::Remove)) if !state.undecided && !frame.released => {
                self.begin_open(from, What::Drop, true);
            }
            Some((id, verdict)) if !state.undecided => {
                self.begin_rename(state, &frame, at);
                self.begin_open(at, blind_edit(id, verdict), false);
            }
            Some(_) => {
                let start = if state.may_remove && !frame.released { from } else { at };
                if start == at {
                    self.begin_rename(state, &frame, at);
                }
                let number = self.pend(start, at, What::Undecided);
                self.top().edit = Edits::Pending(number);
                if start < at {
                    self.begin_rename(state, &frame, at);
                }
            }
        }
    }

    fn begin_rename(&mut self, state: &State, frame: &Frame, at: u64) {
        if state.renames.is_empty() {
            return;
        }
        if frame.name_released {
            self.plan.oversize += 1;
            return;
        }
        let edit = self.pend(frame.name_start, at, What::MayRename);
        let depth = self.plan.frames.len() - 1;
        self.plan.renames.push(Renaming { edit, child: frame.child, name_end: frame.name_end, frame: depth });
    }

    fn begin_open(&mut self, start: u64, what: What, removal: bool) {
        let number = self.plan.push_around_islands(start, OPEN, what);
        self.plan.open = Some(number);
        self.plan.void = Some(self.plan.frames.len() - 1);
        self.top().edit = Edits::Open { removal };
    }

    fn end_value(&mut self, after: u64) {
        let rules = self.rules;
        let state = rules.state(self.top().child);
        let removed = state.wants_value && self.end_wanted(state, after);
        if self.plan.frames.len() == 1 {
            self.plan.tail = NONE;
            return;
        }
        let patience = self.patience();
        let frame = self.top();
        frame.kept |= !removed;
        frame.last_end = after;
        frame.space_released = false;
        self.plan.tail = after;
        self.plan.tail_deadline = after + patience;
    }

    /// Ends a value that something matches. True where it is removed.
    fn end_wanted(&mut self, state: &State, after: u64) -> bool {
        let Frame { value_start: start, edit, watch, kept, unseen, .. } = *self.top();
        let frame = self.top();
        frame.edit = Edits::No;
        frame.watch = None;
        let pending = match edit {
            Edits::Pending(number) => Some(number),
            _ => watch,
        };
        // A pending edit that is pending no more was larger than may be held.
        let seen = !unseen && pending.is_none_or(|number| self.plan.is_pending(number));
        if state.looks {
            self.plan.note_observed(start, after);
        }
        if seen {
            self.observe(state, edit, start, after);
        }
        if let Some(number) = watch {
            self.plan.cancel(number);
        }
        let removal = match edit {
            Edits::No => None,
            Edits::Open { removal } => {
                let number = self.plan.open.take();
                self.plan.void = None;
                if let Some(edit) = number.and_then(|number| self.plan.get(number)) {
                    edit.end = edit.end.min(after);
                }
                number.filter(|_| removal)
            }
            Edits::Pending(number) if seen => self.decide(state, number, start, after),
            Edits::Pending(_) => None,
        };
        if removal.is_some() && !kept {
            self.top().removed = removal;
        }
        removal.is_some()
    }

    /// Captures, conditions and counters look at the value.
    fn observe(&mut self, state: &State, edit: Edits, start: u64, after: u64) {
        for &capture in &state.captures {
            let may_be_null = self.rules.captures[capture].skips_null && after - start == 4;
            if may_be_null && *self.raw.payload(start, after) == *b"null" {
                continue;
            }
            if self.plan.streaming {
                self.captured.keep(self.rules, capture, start, &self.raw.payload(start, after));
            } else {
                self.keep_span(capture, start, after);
            }
        }
        for hit in &state.hits {
            let Rule::DropEvent { conditions } = self.rules.rule(hit.rule) else { continue };
            let Condition::Equals(_, value) = &conditions[hit.condition] else { continue };
            // Once the event streams nothing can be dropped, and its bytes may be gone.
            if !self.plan.streaming && value.matches(&self.raw.payload(start, after)) {
                self.set_hit(hit.bit);
            }
        }
        // Where an earlier rule drops the value of an event that streams, its bytes are gone.
        if self.plan.streaming && !matches!(edit, Edits::Pending(_)) {
            return;
        }
        for &id in &state.edits {
            let Some(counter) = self.counters.iter_mut().find(|counter| counter.rule == id) else { continue };
            if counter.next.is_none() && counter.found.is_none() {
                let raw = self.raw.payload(start, after);
                counter.found = std::str::from_utf8(&raw).ok().and_then(|text| text.parse().ok());
            }
            self.settle_number(id);
        }
    }

    /// Keeps a captured span until the event is judged; no more spans than values would be kept.
    fn keep_span(&mut self, capture: usize, start: u64, after: u64) {
        let spans = &mut self.plan.captures;
        let known = spans.iter().position(|(other, ..)| *other == capture);
        match (self.rules.captures[capture].keep, known) {
            // Nested values count in the order in which they begin.
            (Keep::Last, Some(i)) if start < spans[i].1 => {}
            (Keep::First, Some(i)) if start > spans[i].1 => {}
            (Keep::Last | Keep::First, Some(i)) => spans[i] = (capture, start, after),
            (Keep::All, _) if spans.len() >= MAX_CAPTURED * self.rules.captures.len() => {}
            _ => spans.push((capture, start, after)),
        }
    }

    /// Asks the rules in order what becomes of a value that has been seen. Returns the edit if it is a removal.
    fn decide(&mut self, state: &State, number: usize, start: u64, after: u64) -> Option<usize> {
        let raw = self.raw.payload(start, after);
        let last = state.edits.last().copied().unwrap_or(0);
        for &id in &state.edits {
            let what = match self.rules.rule(id).verdict(&raw) {
                Verdict::Keep => continue,
                Verdict::Remove if self.top().released => What::Null,
                Verdict::Remove => {
                    let from = self.plan.get(number).map_or(start, |edit| edit.start);
                    return Some(self.plan.cover(number, from, after, What::Drop));
                }
                Verdict::Write(choice) => What::Text(id, choice),
                Verdict::Number => What::Number(id),
                Verdict::Function if id != last => match self.call_function(id, start, after) {
                    Some(text) => self.plan.make(text),
                    None => continue,
                },
                Verdict::Function => {
                    if let Some(edit) = self.plan.get(number) {
                        *edit = Edit { start, end: after, what: What::Function(id) };
                    }
                    self.order(number);
                    return None;
                }
            };
            self.plan.cover(number, start, after, what);
            return None;
        }
        self.plan.cancel(number);
        None
    }

    /// An edit that began at the comma now begins at the value: the member's rename comes first.
    fn order(&mut self, number: usize) {
        let Some(at) = number.checked_sub(self.plan.base) else { return };
        let edits = &mut self.plan.edits;
        if at + 1 < edits.len() && edits[at + 1].start < edits[at].start {
            edits.swap(at, at + 1);
            if let Some(renaming) = self.plan.renames.last_mut().filter(|renaming| renaming.edit == number + 1) {
                renaming.edit = number;
            }
        }
    }

    /// The object ends: missing members are inserted, renames stand or fall.
    fn settle(&mut self, frame: &Frame, state: &State, bracket: u64) {
        let mut comma = frame.kept;
        let at = if frame.space_released { bracket } else { frame.last_end };
        for &AtEnd { rule, slot, inserts } in &state.at_end {
            if !self.plan.may_take(frame, slot, rule) {
                continue;
            }
            if inserts {
                self.plan.push(Edit { start: at, end: at, what: What::Insert(rule, comma) });
                self.settle_number(rule);
                self.plan.take(frame, slot, rule);
                comma = true;
            } else {
                self.settle_renames(frame, slot, rule);
            }
        }
        for i in frame.renames_base..self.plan.renames.len() {
            let number = self.plan.renames[i].edit;
            if self.plan.get(number).is_some_and(|edit| edit.what == What::MayRename) {
                self.void_edit(number);
            }
        }
    }

    /// In an event that streams a number may leave before the next value is seen: a counter that waits for the first
    /// number begins at 0.
    pub(super) fn settle_number(&mut self, rule: RuleId) {
        if !self.plan.streaming {
            return;
        }
        if let Some(counter) = self.counters.iter_mut().find(|counter| counter.rule == rule) {
            counter.found = counter.found.or(Some(0));
        }
    }

    /// The rule renames every member of the object that it may.
    fn settle_renames(&mut self, frame: &Frame, slot: Slot, rule: RuleId) {
        for i in frame.renames_base..self.plan.renames.len() {
            let Renaming { edit, child, name_end, .. } = self.plan.renames[i];
            if !self.rules.state(child).renames.contains(&rule) {
                continue;
            }
            if let Some(edit) = self.plan.get(edit).filter(|edit| edit.what == What::MayRename) {
                *edit = Edit { end: name_end, what: What::Rename(rule), ..*edit };
                self.plan.take(frame, slot, rule);
            }
        }
    }

    pub(super) fn void_edit(&mut self, number: usize) {
        if let Some(edit) = self.plan.get(number) {
            *edit = Edit { end: edit.start, what: What::Nothing, ..*edit };
        }
    }
}

/// The edit of a rule that need not see the value; a removal without its comma leaves `null`.
pub(super) fn blind_edit(id: RuleId, verdict: Verdict) -> What {
    match verdict {
        Verdict::Write(choice) => What::Text(id, choice),
        Verdict::Number => What::Number(id),
        _ => What::Null,
    }
}

impl Sink for Planner<'_> {
    fn open(&mut self, at: u64, object: bool) -> bool {
        if self.plan.frames.len() == 1 {
            self.plan.container = true;
        }
        self.begin_value(at);
        let child = self.top().child;
        let state = self.rules.state(child);
        if !state.wants_inside {
            return false;
        }
        self.plan.open_frame(Frame::new(child, DEAD, object, at + 1), state);
        // An insertion into an empty object goes before its white space.
        self.plan.tail = at + 1;
        self.plan.tail_deadline = at + 1 + self.patience();
        true
    }

    fn close(&mut self, after: u64) {
        let Some(frame) = self.plan.frames.pop() else { return };
        let state = self.rules.state(frame.state);
        if frame.object && self.plan.void.is_none() && !state.at_end.is_empty() {
            self.settle(&frame, state, after - 1);
        }
        self.plan.close_frame(&frame);
        self.end_value(after);
    }

    fn skipped(&mut self, after: u64) {
        self.end_value(after);
    }

    fn scalar(&mut self, at: u64) {
        // A payload that is one scalar is never rewritten.
        if self.plan.frames.len() > 1 {
            self.begin_value(at);
        }
    }

    fn scalar_end(&mut self, after: u64) {
        if self.plan.frames.len() > 1 {
            self.end_value(after);
        }
    }

    fn name_start(&mut self, at: u64) {
        self.close_gap(at);
        let frame = self.top();
        frame.name_start = at;
        frame.long_name = false;
        frame.name_released = false;
        let first = frame.comma < frame.last_end;
        // There is no comma before it that could have left.
        frame.released &= !first;
        self.plan.tail = if first { at } else { self.plan.tail.min(at) };
        self.plan.tail_deadline = NONE;
    }

    fn name(&mut self, name: Option<&[u8]>) {
        let rules = self.rules;
        let frame = self.top();
        let (child, slot) = rules.state(frame.state).member(name);
        frame.child = child;
        frame.long_name = name.is_none();
        let frame = *frame;
        if let Some(slot) = slot {
            self.plan.mark_seen(&frame, slot);
        }
        if name.is_some() {
            return;
        }
        let state = rules.state(child);
        let frame = *self.top();
        let first = state.edits.first().map(|&id| rules.rule(id).blind_verdict());
        if self.plan.void.is_none() && !state.undecided && !frame.released && first == Some(Verdict::Remove) {
            let from = self.removal_start(&frame, frame.name_start);
            self.begin_open(from, What::Drop, true);
            self.plan.tail = NONE;
        } else if self.plan.streaming {
            let frame = self.top();
            frame.released = true;
            frame.name_released = true;
            self.plan.tail = NONE;
        }
    }

    fn name_end(&mut self, after: u64) {
        let deadline = after + self.patience();
        let frame = self.top();
        frame.name_end = after;
        frame.long_name = false;
        self.plan.tail_deadline = deadline;
    }

    fn comma(&mut self, at: u64) {
        let deadline = at + self.patience();
        let frame = self.top();
        frame.comma = at;
        frame.released = false;
        let Frame { removed, last_end, space_released, .. } = *frame;
        self.plan.tail = at;
        self.plan.tail_deadline = deadline;
        if removed.is_none() {
            return;
        }
        // The comma and the white space around it go with the removed value before it.
        let start = if space_released { at } else { last_end };
        let number = self.plan.push_around_islands(start, OPEN, What::Drop);
        self.plan.tail = NONE;
        self.top().removed = Some(number);
    }

    fn pause(&self) -> bool {
        self.plan.is_full()
    }
}
