//! The plan for one payload: the scanner tells what stands where, the rules say what becomes of it.
//!
//! Rule 1: all rules see the payload as it came in. An edit inside a value that goes is void.
//! Rule 2: an edit is recorded where it starts, so that edits stand in order. What is not decided yet is recorded as
//! pending; nothing from there on may leave.
//! Rule 3: in an event that streams, whatever is pending is decided at a fixed distance from where it began, so that
//! the output does not depend on how the input was cut and what must be held has a bound.
//! Rule 4: a removal takes the comma before it where an earlier neighbour survives, else the one after it.
//!
//! Theory of operation: a frame per open container that matters, holding where its current member stands. Its `tail`
//! is the comma, white space or name whose fate hangs on what follows.

use crate::json::scan::Sink;
use crate::rules::compile::{Compiled, DEAD, RuleId, State, StateId};
use crate::rules::rule::{Condition, Rule, Verdict};

use super::capture::Captured;
use super::edit::{Edit, OPEN, What};
use super::splice::Raw;

/// No offset.
const NONE: u64 = u64::MAX;

/// An open container, and the member or element in it that is being read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    state: StateId,
    /// The state of the current value.
    child: StateId,
    object: bool,
    /// An earlier member or element survives.
    kept: bool,
    /// The comma before the current value has left already.
    released: bool,
    /// Its name has left already.
    name_released: bool,
    /// The white space after the last value has left already.
    space_released: bool,
    /// The current value is larger than may be held.
    unseen: bool,
    /// The name being read is longer than all that matter.
    long_name: bool,
    /// Index of the current element.
    index: u64,
    comma: u64,
    name_start: u64,
    name_end: u64,
    value_start: u64,
    /// Where an insertion goes: after the last value, or after the bracket.
    last_end: u64,
    /// The edit of the current value: pending, or the open one.
    edit: Edits,
    /// The pending watch of the current value.
    watch: Option<usize>,
    /// The removal that takes the comma after it.
    removed: Option<usize>,
    /// Where this frame's bits begin in `seen`, its entries in `renames`.
    seen_base: usize,
    renames_base: usize,
}

/// What is to be done when the current value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edits {
    No,
    /// Decide the pending edit of this number.
    Pending(usize),
    /// End the plan's open edit; it is a removal or not.
    Open {
        removal: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Renaming {
    edit: usize,
    rule: RuleId,
    name_end: u64,
    /// Depth of the frame it belongs to.
    frame: usize,
}

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

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) edits: Vec<Edit>,
    /// Number of the first edit in `edits`: those before it have left.
    base: usize,
    frames: Vec<Frame>,
    renames: Vec<Renaming>,
    /// Per frame two runs of bits by slot: names that stand in the object, names taken by an edit.
    seen: Vec<u64>,
    /// Conditions that hold.
    hits: Vec<u64>,
    /// Captured spans of an event that has not been judged.
    captures: Vec<(usize, u64, u64)>,
    /// The outermost edit whose end is open.
    open: Option<usize>,
    /// Depth of the frame whose current value goes: edits inside it are void.
    void: Option<usize>,
    /// The first offset whose fate hangs on what follows, and the offset at which it is decided.
    tail: u64,
    tail_deadline: u64,
    /// Spans between two data lines that hold other lines, so that they stay whatever goes around them.
    islands: Vec<(u64, u64)>,
    pub(crate) made: Vec<Box<[u8]>>,
    /// The event is larger than may be held: it leaves as it comes.
    pub(crate) streaming: bool,
    /// The plan itself is as large as may be held.
    full: bool,
    /// The payload is an object or array.
    pub(crate) container: bool,
    pub(crate) oversize: u64,
}

impl Plan {
    pub(crate) fn new() -> Self {
        Plan {
            edits: Vec::new(),
            base: 0,
            frames: Vec::new(),
            renames: Vec::new(),
            seen: Vec::new(),
            hits: Vec::new(),
            captures: Vec::new(),
            open: None,
            void: None,
            tail: NONE,
            tail_deadline: NONE,
            islands: Vec::new(),
            made: Vec::new(),
            streaming: false,
            full: false,
            container: false,
            oversize: 0,
        }
    }

    /// Ready for the next event; large buffers are let go.
    pub(crate) fn reset(&mut self) {
        fn clear<T>(buffer: &mut Vec<T>) {
            buffer.clear();
            if buffer.capacity() * size_of::<T>() > crate::limits::IDLE_CAPACITY {
                *buffer = Vec::new();
            }
        }
        clear(&mut self.edits);
        clear(&mut self.frames);
        clear(&mut self.renames);
        clear(&mut self.seen);
        clear(&mut self.hits);
        clear(&mut self.captures);
        clear(&mut self.islands);
        clear(&mut self.made);
        self.base = 0;
        self.open = None;
        self.void = None;
        self.tail = NONE;
        self.tail_deadline = NONE;
        self.streaming = false;
        self.full = false;
        self.container = false;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full && !self.streaming
    }

    pub(crate) fn hit(&self, bit: usize) -> bool {
        self.hits.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// The offset up to which everything is decided, if all before `pos` is read.
    pub(crate) fn frontier(&self, pos: u64) -> u64 {
        let pending = self.edits.iter().find(|edit| edit.is_pending()).map_or(NONE, |edit| edit.start);
        pos.min(pending).min(self.tail)
    }

    /// The next offset at which something pending must be decided.
    pub(crate) fn deadline(&self) -> u64 {
        let pending = self.edits.iter().find(|edit| edit.is_pending()).map_or(NONE, |edit| edit.end);
        pending.min(if self.tail == NONE { NONE } else { self.tail_deadline })
    }

    /// True where bytes are being dropped, up to an end not yet seen.
    pub(crate) fn is_dropping(&self) -> bool {
        self.open.is_some() || self.frames.last().and_then(|frame| self.gap(frame)).is_some()
    }

    /// Forgets the edits that have left.
    pub(crate) fn forget(&mut self, count: usize) {
        self.edits.drain(..count);
        self.base += count;
    }

    fn get(&mut self, number: usize) -> Option<&mut Edit> {
        self.edits.get_mut(number.checked_sub(self.base)?)
    }

    /// Records an edit where its start belongs: at the end, but for edits of lines and pieces around islands.
    fn push(&mut self, edit: Edit) -> usize {
        let mut at = self.edits.len();
        while at > 0 && self.edits[at - 1].start > edit.start {
            at -= 1;
        }
        self.edits.insert(at, edit);
        let number = self.base + at;
        if at + 1 < self.edits.len() {
            self.renumber_from(number);
        }
        number
    }

    /// An edit was inserted as `first`: those from there on have moved up by one.
    fn renumber_from(&mut self, first: usize) {
        let pending = self.frames.iter_mut().filter_map(|frame| match &mut frame.edit {
            Edits::Pending(number) => Some(number),
            _ => None,
        });
        let numbers =
            pending.chain(self.open.as_mut()).chain(self.renames.iter_mut().map(|renaming| &mut renaming.edit));
        numbers.filter(|number| **number >= first).for_each(|number| *number += 1);
        for frame in &mut self.frames {
            let others = frame.watch.iter_mut().chain(frame.removed.as_mut());
            others.filter(|number| **number >= first).for_each(|number| *number += 1);
        }
    }

    /// Records an edit that may lie across islands: each stays, what is around it goes. Returns the last piece.
    fn push_around_islands(&mut self, start: u64, end: u64, what: What) -> usize {
        let inside: Vec<_> = self.islands.iter().copied().filter(|&(from, to)| from >= start && to <= end).collect();
        let mut piece = Edit { start, end, what };
        let mut number = None;
        for (from, to) in inside {
            number = Some(self.push(Edit { end: from, ..piece }));
            piece = Edit { start: to, end, what: What::Drop };
        }
        if piece.start < piece.end || number.is_none() {
            number = Some(self.push(piece));
        }
        number.unwrap_or(0)
    }

    pub(crate) fn push_line_edit(&mut self, start: u64, end: u64, what: What) {
        self.edits.push(Edit { start, end, what });
    }

    /// The line whose edit is open ends here.
    pub(crate) fn end_line_edit(&mut self, end: u64) {
        if let Some(edit) = self.edits.iter_mut().rev().find(|edit| edit.is_of_line() && edit.end == OPEN) {
            edit.end = end;
        }
    }

    /// Decides a pending edit, which covers all recorded since.
    fn cover(&mut self, number: usize, start: u64, end: u64, what: What) -> usize {
        let Some(at) = number.checked_sub(self.base) else { return number };
        let mut later = self.edits.split_off(at + 1);
        self.edits.pop();
        // The member's own rename starts before its value and outlives a new value.
        later.retain(|edit| edit.is_of_line() || edit.start < start);
        let rename = later.iter().position(|edit| !edit.is_of_line());
        let own = self.renames.iter().position(|renaming| renaming.edit > number);
        self.renames.truncate(own.map_or(self.renames.len(), |own| own + usize::from(rename.is_some())));
        if let (Some(own), Some(rename)) = (own, rename) {
            self.renames[own].edit = number + rename;
        }
        self.edits.append(&mut later);
        self.push_around_islands(start, end, what)
    }

    /// An edit that came to nothing.
    fn cancel(&mut self, number: usize) {
        let Some(at) = number.checked_sub(self.base) else { return };
        if at + 1 == self.edits.len() {
            self.edits.pop();
        } else if let Some(edit) = self.edits.get_mut(at) {
            edit.what = What::Nothing;
            edit.end = edit.start;
        }
    }

    /// A removal that waits for the next value, with its comma read: it drops up to there.
    fn gap(&self, frame: &Frame) -> Option<usize> {
        let number = frame.removed?;
        let edit = self.edits.get(number.checked_sub(self.base)?)?;
        (edit.end == OPEN).then_some(number)
    }

    /// Another line than a data line begins at `at`, after a data line.
    pub(crate) fn leave_payload(&mut self, at: u64) {
        let gap = self.frames.last().and_then(|frame| self.gap(frame));
        if let Some(edit) = self.open.or(gap).and_then(|number| self.get(number)) {
            edit.end = at;
        }
    }

    /// The payload goes on at `to`; it was left at `from`.
    pub(crate) fn enter_payload(&mut self, from: u64, to: u64) {
        self.islands.push((from, to));
        let drop = Edit { start: to, end: OPEN, what: What::Drop };
        if let Some(open) = self.open {
            if self.get(open).is_none_or(|edit| edit.end == from) {
                self.open = Some(self.push(drop));
            }
            return;
        }
        let waiting = self.frames.last().and_then(|frame| frame.removed.filter(|_| frame.comma >= frame.last_end));
        if waiting.is_some() {
            let number = self.push(drop);
            if let Some(frame) = self.frames.last_mut() {
                frame.removed = Some(number);
            }
        }
    }

    /// From here on the event streams.
    pub(crate) fn stream(&mut self) {
        self.streaming = true;
        self.full = false;
        if let Some(frame) = self.frames.last_mut() {
            if frame.long_name {
                frame.released = true;
                frame.name_released = true;
                self.tail = NONE;
            }
        }
    }

    /// The payload is no JSON: what has not left stays as it is.
    pub(crate) fn invalidate(&mut self, at: u64) {
        for edit in &mut self.edits {
            if edit.is_of_line() {
                continue;
            }
            if self.streaming && !edit.is_pending() {
                edit.end = edit.end.min(at.max(edit.start));
            } else {
                edit.what = What::Nothing;
                edit.end = edit.start;
            }
        }
        self.captures.clear();
        self.tail = NONE;
        self.open = None;
        self.container = false;
        self.frames.clear();
    }

    /// Gives the captured spans of a valid event.
    pub(crate) fn take_captures(&mut self, rules: &Compiled, raw: Raw<'_>, captured: &mut Captured) {
        for (capture, start, end) in self.captures.drain(..) {
            captured.keep(rules, capture, &raw.payload(start, end));
        }
    }

    /// The next decided span that a rule's function must see.
    pub(crate) fn next_function(&self, from: usize) -> Option<(usize, RuleId, u64, u64)> {
        let mut decided = self.edits.iter().enumerate().skip(from).take_while(|(_, edit)| !edit.is_pending());
        decided.find_map(|(i, edit)| match edit.what {
            What::Function(rule) => Some((i, rule, edit.start, edit.end)),
            _ => None,
        })
    }

    /// What the function of the edit at `i` said.
    pub(crate) fn function_said(&mut self, i: usize, text: Option<Vec<u8>>) {
        let edit = self.edits[i];
        self.edits[i] = Edit { end: edit.start, what: What::Nothing, ..edit };
        let Some(text) = text else { return };
        for inner in &mut self.edits[i + 1..] {
            if inner.start < edit.end && !inner.is_of_line() {
                *inner = Edit { end: inner.start, what: What::Nothing, ..*inner };
            }
        }
        self.made.push(text.into());
        self.push_around_islands(edit.start, edit.end, What::Made((self.made.len() - 1) as u32));
    }

    fn words(state: &State) -> usize {
        state.slots.div_ceil(64) as usize
    }

    fn mark(&mut self, base: usize, slot: u32) {
        self.seen[base + slot as usize / 64] |= 1 << (slot % 64);
    }

    fn marked(&self, base: usize, slot: u32) -> bool {
        self.seen[base + slot as usize / 64] >> (slot % 64) & 1 == 1
    }
}

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
        self.plan.frames.push(frame(DEAD, start, false, 0, 0, 0));
    }

    /// How long a comma, white space or a name may stay undecided.
    fn patience(&self) -> u64 {
        patience(self.max_held)
    }

    fn top(&mut self) -> &mut Frame {
        self.plan.frames.last_mut().expect("a value has a frame around it")
    }

    /// Drops of a removed first value end where the next one begins.
    fn close_gap(&mut self, at: u64) {
        let depth = self.plan.frames.len() - 1;
        if let Some(number) = self.plan.frames[depth].removed.take() {
            if let Some(edit) = self.plan.get(number) {
                if edit.end == OPEN {
                    edit.end = at;
                }
            }
        }
    }

    fn begin_value(&mut self, at: u64) {
        let rules = self.rules;
        let depth = self.plan.frames.len() - 1;
        if depth > 0 && !self.plan.frames[depth].object {
            self.close_gap(at);
            let state = rules.state(self.plan.frames[depth].state);
            let frame = self.top();
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
    fn pend(&mut self, start: u64, at: u64, what: What) -> usize {
        self.note_size();
        self.plan.push(Edit { start, end: at + self.max_held, what })
    }

    /// A plan too large to hold makes the event stream.
    fn note_size(&mut self) {
        let size = self.plan.edits.len() * size_of::<Edit>();
        self.plan.full |= size as u64 > self.max_held + crate::limits::EDIT_SLACK as u64;
    }

    /// Where a removal of the current value begins.
    fn removal_start(&self, frame: &Frame, at: u64) -> u64 {
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
        let Some(rule) = state.rename else { return };
        if frame.name_released {
            self.plan.oversize += 1;
            return;
        }
        let edit = self.pend(frame.name_start, at, What::MayRename(rule));
        let depth = self.plan.frames.len() - 1;
        self.plan.renames.push(Renaming { edit, rule, name_end: frame.name_end, frame: depth });
    }

    fn begin_open(&mut self, start: u64, what: What, removal: bool) {
        self.note_size();
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
        self.top().edit = Edits::No;
        let pending = match edit {
            Edits::Pending(number) => Some(number),
            _ => watch,
        };
        // A pending edit that is pending no more was larger than may be held.
        let seen = !unseen && pending.is_none_or(|number| self.plan.get(number).is_some_and(|edit| edit.is_pending()));
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
            if !self.captured.wants(self.rules, capture) {
                continue;
            }
            if self.plan.streaming {
                self.captured.keep(self.rules, capture, &self.raw.payload(start, after));
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
        if !matches!(edit, Edits::Pending(_)) {
            return;
        }
        for &id in &state.edits {
            let Some(counter) = self.counters.iter_mut().find(|counter| counter.rule == id) else { continue };
            if counter.next.is_none() && counter.found.is_none() {
                let raw = self.raw.payload(start, after);
                counter.found = std::str::from_utf8(&raw).ok().and_then(|text| text.parse().ok());
            }
        }
    }

    /// Keeps a captured span until the event is judged; no more spans than values would be kept.
    fn keep_span(&mut self, capture: usize, start: u64, after: u64) {
        use crate::rules::rule::Keep;
        let spans = &mut self.plan.captures;
        let known = spans.iter().position(|(other, ..)| *other == capture);
        match (self.rules.captures[capture].keep, known) {
            (Keep::Last, Some(i)) => spans[i] = (capture, start, after),
            (Keep::First, Some(_)) => {}
            (Keep::All, _) if spans.len() >= crate::limits::MAX_CAPTURED * self.rules.captures.len() => {}
            _ => spans.push((capture, start, after)),
        }
    }

    /// Asks the rules in order what becomes of a value that has been seen. Returns the edit if it is a removal.
    fn decide(&mut self, state: &State, number: usize, start: u64, after: u64) -> Option<usize> {
        let raw = self.raw.payload(start, after);
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
            for renaming in self.plan.renames.iter_mut().filter(|renaming| renaming.edit == number + 1) {
                renaming.edit = number;
            }
        }
    }

    /// The object ends: missing members are inserted, renames stand or fall.
    fn settle(&mut self, frame: &Frame, state: &State, bracket: u64) {
        let taken = frame.seen_base + Plan::words(state);
        let mut comma = frame.kept;
        let at = if frame.space_released { bracket } else { frame.last_end };
        for at_end in &state.at_end {
            let free = !self.plan.marked(frame.seen_base, at_end.slot) && !self.plan.marked(taken, at_end.slot);
            if at_end.inserts {
                if free {
                    self.plan.push(Edit { start: at, end: at, what: What::Insert(at_end.rule, comma) });
                    self.plan.mark(taken, at_end.slot);
                    comma = true;
                }
                continue;
            }
            for i in frame.renames_base..self.plan.renames.len() {
                let Renaming { edit, rule, name_end, .. } = self.plan.renames[i];
                if rule != at_end.rule {
                    continue;
                }
                let Some(edit) = self.plan.get(edit).filter(|edit| edit.what == What::MayRename(rule)) else {
                    continue;
                };
                if free {
                    *edit = Edit { end: name_end, what: What::Rename(rule), ..*edit };
                    self.plan.mark(taken, at_end.slot);
                } else {
                    *edit = Edit { end: edit.start, what: What::Nothing, ..*edit };
                }
            }
        }
    }

    /// Decides what has been pending for too long, if all before `pos` is read.
    pub(crate) fn decide_overdue(&mut self, pos: u64) {
        while let Some(at) = self.plan.edits.iter().position(Edit::is_pending) {
            if self.plan.edits[at].end > pos {
                break;
            }
            let number = self.plan.base + at;
            match self.plan.edits[at].what {
                What::MayRename(rule) => self.rename_overdue(number, rule),
                What::Undecided => self.decide_unseen(number),
                _ => {
                    self.plan.oversize += 1;
                    self.void_edit(number);
                }
            }
        }
        if self.plan.tail != NONE && self.plan.tail_deadline <= pos {
            self.plan.tail = NONE;
            let frame = self.top();
            frame.released = true;
            frame.name_released = true;
            frame.space_released = true;
        }
    }

    fn void_edit(&mut self, number: usize) {
        if let Some(edit) = self.plan.get(number) {
            *edit = Edit { end: edit.start, what: What::Nothing, ..*edit };
        }
    }

    /// The object is larger than may be held: the rename is carried out, though the new name may still come.
    fn rename_overdue(&mut self, number: usize, rule: RuleId) {
        let renaming = self.plan.renames.iter().find(|renaming| renaming.edit == number).copied();
        let Some(Renaming { name_end, frame, .. }) = renaming else { return self.void_edit(number) };
        let frame = &self.plan.frames[frame];
        let state = self.rules.state(frame.state);
        let seen = frame.seen_base;
        let taken = seen + Plan::words(state);
        let slot = state.at_end.iter().find(|at_end| at_end.rule == rule).map_or(0, |at_end| at_end.slot);
        // Taken by another rule, or by an earlier occurrence of this one?
        let by_other = state.at_end.iter().any(|at_end| at_end.slot == slot && at_end.rule < rule);
        if self.plan.marked(seen, slot) || (by_other && self.plan.marked(taken, slot)) {
            return self.void_edit(number);
        }
        self.plan.mark(taken, slot);
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
        let verdict = self.rules.rule(id).blind_verdict();
        let removal = verdict == Verdict::Remove && !frame.released;
        let from = if removal { self.removal_start(&frame, frame.value_start) } else { frame.value_start };
        let what = if removal { What::Drop } else { blind_edit(id, verdict) };
        let open = self.plan.cover(number, from, OPEN, what);
        self.plan.open = Some(open);
        self.plan.void = Some(depth);
        self.plan.tail = NONE;
        self.plan.frames[depth].edit = Edits::Open { removal };
        self.plan.frames[depth].unseen = true;
        for inner in &mut self.plan.frames[depth + 1..] {
            inner.edit = Edits::No;
            inner.removed = None;
        }
    }
}

/// The edit of a rule that need not see the value; a removal without its comma leaves `null`.
fn blind_edit(id: RuleId, verdict: Verdict) -> What {
    match verdict {
        Verdict::Write(choice) => What::Text(id, choice),
        Verdict::Number => What::Number(id),
        _ => What::Null,
    }
}

/// Half of what may be held is for white space around a name, the other half is not needed for it.
pub(crate) fn patience(max_held: u64) -> u64 {
    (max_held / 2).max(1)
}

fn frame(state: StateId, child: StateId, object: bool, after: u64, seen_base: usize, renames_base: usize) -> Frame {
    Frame {
        state,
        child,
        object,
        kept: false,
        released: false,
        name_released: false,
        space_released: false,
        unseen: false,
        long_name: false,
        index: 0,
        comma: 0,
        name_start: 0,
        name_end: 0,
        value_start: 0,
        last_end: after,
        edit: Edits::No,
        watch: None,
        removed: None,
        seen_base,
        renames_base,
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
        let (seen, renames) = (self.plan.seen.len(), self.plan.renames.len());
        self.plan.frames.push(frame(child, DEAD, object, at + 1, seen, renames));
        self.plan.seen.resize(seen + 2 * Plan::words(state), 0);
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
        self.plan.seen.truncate(frame.seen_base);
        self.plan.renames.truncate(frame.renames_base);
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
        self.plan.tail = if first { at } else { self.plan.tail.min(at) };
        self.plan.tail_deadline = NONE;
    }

    fn name(&mut self, name: Option<&[u8]>) {
        let rules = self.rules;
        let frame = self.top();
        let (child, slot) = rules.state(frame.state).member(name);
        frame.child = child;
        frame.long_name = name.is_none();
        let base = frame.seen_base;
        if let Some(slot) = slot {
            self.plan.mark(base, slot);
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
        let islands_end = self.plan.islands.last().map_or(0, |island| island.1);
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
        let start = if space_released || islands_end > last_end { at } else { last_end };
        let number = self.plan.push(Edit { start, end: OPEN, what: What::Drop });
        self.plan.tail = NONE;
        self.top().removed = Some(number);
    }

    fn pause(&self) -> bool {
        self.plan.is_full()
    }
}
