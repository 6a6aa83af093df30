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

use crate::error::Error;
use crate::limits::{EDIT_SLACK, IDLE_CAPACITY, MAX_DEPTH, MAX_OBSERVED};
use crate::rules::compile::{Compiled, RuleId, Slot, State};

use super::capture::Captured;
use super::edit::{Edit, OPEN, What};
use super::frame::{Edits, Frame, NONE, Renaming};
use super::splice::Raw;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) edits: Vec<Edit>,
    /// Number of the first edit in `edits`: those before it have left.
    pub(super) base: usize,
    pub(super) frames: Vec<Frame>,
    pub(super) renames: Vec<Renaming>,
    /// Per frame a bit for each slot: the name stands in the object.
    pub(super) seen: Vec<u64>,
    /// Per frame and slot the rule whose edit takes the name.
    pub(super) taken: Vec<Option<RuleId>>,
    /// Conditions that hold.
    pub(super) hits: Vec<u64>,
    /// Spans on whose value something depended.
    pub(crate) observed: Vec<(u64, u64)>,
    /// Captured spans of an event that has not been judged.
    pub(crate) captures: Vec<(usize, u64, u64)>,
    /// The outermost edit whose end is open.
    pub(super) open: Option<usize>,
    /// Depth of the frame whose current value goes: edits inside it are void.
    pub(super) void: Option<usize>,
    /// The first offset whose fate hangs on what follows, and the offset at which it is decided.
    pub(super) tail: u64,
    pub(super) tail_deadline: u64,
    /// Where the payload was left for another line, if that is where the stream stands.
    left_at: Option<u64>,
    /// Spans between two data lines that hold other lines, so that they stay whatever goes around them.
    pub(super) islands: Vec<(u64, u64)>,
    pub(crate) made: Vec<Box<[u8]>>,
    /// A function failed on the value at this offset.
    pub(super) failed: Option<(Error, u64)>,
    /// The event is larger than may be held: it leaves as it comes.
    pub(crate) streaming: bool,
    /// Bytes that the plan itself may take.
    pub(crate) budget: usize,
    /// It takes more.
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
            taken: Vec::new(),
            hits: Vec::new(),
            observed: Vec::new(),
            captures: Vec::new(),
            open: None,
            void: None,
            tail: NONE,
            tail_deadline: NONE,
            left_at: None,
            islands: Vec::new(),
            made: Vec::new(),
            failed: None,
            streaming: false,
            budget: EDIT_SLACK,
            full: false,
            container: false,
            oversize: 0,
        }
    }

    /// Ready for the next event; large buffers are let go.
    pub(crate) fn reset(&mut self) {
        fn clear<T>(buffer: &mut Vec<T>) {
            buffer.clear();
            if buffer.capacity() * size_of::<T>() > IDLE_CAPACITY {
                *buffer = Vec::new();
            }
        }
        clear(&mut self.edits);
        clear(&mut self.frames);
        clear(&mut self.renames);
        clear(&mut self.seen);
        clear(&mut self.taken);
        clear(&mut self.hits);
        clear(&mut self.observed);
        clear(&mut self.captures);
        clear(&mut self.islands);
        clear(&mut self.made);
        self.failed = None;
        self.base = 0;
        self.open = None;
        self.void = None;
        self.tail = NONE;
        self.tail_deadline = NONE;
        self.left_at = None;
        self.streaming = false;
        self.full = false;
        self.container = false;
    }

    /// The plan is as large as may be held: reading must pause until some of it has left.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Some of the plan has left: is it still too large?
    pub(crate) fn measure(&mut self) {
        let size = size_of_val(&*self.edits) + size_of_val(&*self.islands) + size_of_val(&*self.captures);
        self.full = size > self.budget;
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
    pub(crate) fn forget(&mut self, count: usize, emitted: u64) {
        self.edits.drain(..count);
        self.base += count;
        let islands = self.islands.iter().take_while(|island| island.1 <= emitted).count();
        self.islands.drain(..islands);
        if self.edits.is_empty() {
            self.made.clear();
        }
    }

    pub(super) fn get(&mut self, number: usize) -> Option<&mut Edit> {
        self.edits.get_mut(number.checked_sub(self.base)?)
    }

    /// Is the edit of this number still to be decided?
    pub(super) fn is_pending(&self, number: usize) -> bool {
        let edit = number.checked_sub(self.base).and_then(|at| self.edits.get(at));
        edit.is_some_and(Edit::is_pending)
    }

    /// Records an edit where its start belongs: at the end, but for edits of lines and pieces around islands.
    pub(super) fn push(&mut self, edit: Edit) -> usize {
        let mut at = self.edits.len();
        while at > 0 && self.edits[at - 1].start > edit.start {
            at -= 1;
        }
        self.insert(at, edit);
        let number = self.base + at;
        if at + 1 < self.edits.len() {
            self.renumber_from(number);
        }
        number
    }

    fn insert(&mut self, at: usize, edit: Edit) {
        make_room(&mut self.edits, self.budget);
        self.edits.insert(at, edit);
        self.measure();
    }

    /// An edit was inserted as `first`: those from there on have moved up by one.
    fn renumber_from(&mut self, first: usize) {
        let moved = |number: &mut usize| *number += usize::from(*number >= first);
        for frame in &mut self.frames {
            if let Edits::Pending(number) = &mut frame.edit {
                moved(number);
            }
            frame.watch.iter_mut().chain(frame.removed.as_mut()).for_each(moved);
        }
        self.open.iter_mut().for_each(moved);
        let renames = self.renames.partition_point(|renaming| renaming.edit < first);
        self.renames[renames..].iter_mut().for_each(|renaming| renaming.edit += 1);
    }

    /// Records an edit that may lie across islands: each stays, what is around it goes. Returns the last piece.
    pub(super) fn push_around_islands(&mut self, start: u64, end: u64, what: What) -> usize {
        let first = self.islands.partition_point(|&(from, _)| from < start);
        let inside: Vec<_> = self.islands[first..].iter().copied().take_while(|&(_, to)| to <= end).collect();
        let mut piece = Edit { start, end, what };
        let mut number = None;
        for (from, to) in inside {
            number = Some(self.push(Edit { end: from, ..piece }));
            piece = Edit { start: to, end, what: What::Drop };
        }
        if end == OPEN {
            piece.end = self.left_at.unwrap_or(OPEN);
        }
        if piece.start < piece.end || number.is_none() {
            number = Some(self.push(piece));
        }
        number.unwrap_or(0)
    }

    pub(crate) fn push_line_edit(&mut self, start: u64, end: u64, what: What) {
        self.insert(self.edits.len(), Edit { start, end, what });
    }

    /// The line whose edit is open ends here.
    pub(crate) fn end_line_edit(&mut self, end: u64) {
        if let Some(edit) = self.edits.iter_mut().rev().find(|edit| edit.is_of_line() && edit.end == OPEN) {
            edit.end = end;
        }
    }

    /// Decides a pending edit, which covers all recorded since.
    pub(super) fn cover(&mut self, number: usize, start: u64, end: u64, what: What) -> usize {
        let Some(at) = number.checked_sub(self.base) else { return number };
        let mut later = self.edits.split_off(at + 1);
        self.edits.pop();
        // The member's own rename starts before its value and outlives a new value.
        later.retain(|edit| edit.is_of_line() || edit.start < start);
        let rename = later.iter().position(|edit| !edit.is_of_line());
        let own = self.renames.partition_point(|renaming| renaming.edit <= number);
        self.renames.truncate(own + usize::from(rename.is_some()));
        if let (Some(own), Some(rename)) = (self.renames.get_mut(own), rename) {
            own.edit = number + rename;
        }
        self.edits.append(&mut later);
        self.push_around_islands(start, end, what)
    }

    /// An edit that came to nothing.
    pub(super) fn cancel(&mut self, number: usize) {
        let Some(at) = number.checked_sub(self.base) else { return };
        if at + 1 == self.edits.len() {
            self.edits.pop();
        } else if let Some(edit) = self.edits.get_mut(at) {
            edit.what = What::Nothing;
            edit.end = edit.start;
        }
    }

    /// A removal that waits for the next value, with its comma read: it drops up to there.
    pub(super) fn gap(&self, frame: &Frame) -> Option<usize> {
        let number = frame.removed?;
        let edit = self.edits.get(number.checked_sub(self.base)?)?;
        (edit.end == OPEN).then_some(number)
    }

    /// Another line than a data line begins at `at`, after a data line.
    pub(crate) fn leave_payload(&mut self, at: u64) {
        self.left_at = Some(at);
        let gap = self.frames.last().and_then(|frame| self.gap(frame));
        if let Some(edit) = self.open.or(gap).and_then(|number| self.get(number)) {
            edit.end = at;
        }
    }

    /// The payload goes on at `to`; it was left at `from`.
    pub(crate) fn enter_payload(&mut self, from: u64, to: u64) {
        self.left_at = None;
        make_room(&mut self.islands, self.budget);
        self.islands.push((from, to));
        self.measure();
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
        if let Some(frame) = self.frames.last_mut()
            && frame.long_name
        {
            frame.released = true;
            frame.name_released = true;
            self.tail = NONE;
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
        self.failed = None;
        self.tail = NONE;
        self.open = None;
        self.container = false;
        self.frames.clear();
    }

    /// Notes that something depended on a value, for as long as the event is simple enough to be learned.
    pub(super) fn note_observed(&mut self, start: u64, after: u64) {
        if !self.streaming && self.observed.len() <= MAX_OBSERVED {
            self.observed.push((start, after));
        }
    }

    /// Is all noted on which something depended?
    pub(crate) fn is_simple(&self) -> bool {
        self.observed.len() <= MAX_OBSERVED
    }

    /// Gives the captured spans of a valid event.
    pub(crate) fn take_captures(&mut self, rules: &Compiled, raw: Raw<'_>, captured: &mut Captured) {
        for (capture, start, end) in self.captures.drain(..) {
            captured.keep(rules, capture, start, &raw.payload(start, end));
        }
    }

    /// Keeps what a function made until it leaves.
    pub(super) fn make(&mut self, text: Vec<u8>) -> What {
        self.made.push(text.into());
        What::Made((self.made.len() - 1) as u32)
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
        let what = self.make(text);
        self.push_around_islands(edit.start, edit.end, what);
    }

    pub(super) fn mark_seen(&mut self, frame: &Frame, slot: Slot) {
        self.seen[frame.seen_base + slot as usize / 64] |= 1 << (slot % 64);
    }

    /// May the rule give a member this name? Only if none has it, nor gets it from another rule.
    pub(super) fn may_take(&self, frame: &Frame, slot: Slot, rule: RuleId) -> bool {
        let seen = self.seen[frame.seen_base + slot as usize / 64] >> (slot % 64) & 1 == 1;
        !seen && self.taken[frame.taken_base + slot as usize].is_none_or(|other| other == rule)
    }

    pub(super) fn take(&mut self, frame: &Frame, slot: Slot, rule: RuleId) {
        self.taken[frame.taken_base + slot as usize] = Some(rule);
    }

    /// The object or array in this frame begins.
    pub(super) fn open_frame(&mut self, mut frame: Frame, state: &State) {
        frame.seen_base = self.seen.len();
        frame.taken_base = self.taken.len();
        frame.renames_base = self.renames.len();
        self.seen.resize(frame.seen_base + state.slots.div_ceil(64) as usize, 0);
        self.taken.resize(frame.taken_base + state.slots as usize, None);
        make_room(&mut self.frames, (MAX_DEPTH + 1) * size_of::<Frame>());
        self.frames.push(frame);
    }

    /// It ends, as far as names go.
    pub(super) fn close_frame(&mut self, frame: &Frame) {
        self.seen.truncate(frame.seen_base);
        self.taken.truncate(frame.taken_base);
        self.renames.truncate(frame.renames_base);
    }
}

/// Room for one more. It grows by doubling, but not past `budget` bytes where that suffices.
fn make_room<T>(buffer: &mut Vec<T>, budget: usize) {
    let count = buffer.len();
    if count == buffer.capacity() {
        let most = budget / size_of::<T>() + 1;
        buffer.reserve_exact(most.saturating_sub(count).clamp(4, count.max(4)));
    }
}
