//! One call's turn: lines become blocks, blocks leave.
//!
//! Rule 1: an event is kept until its blank line and then leaves whole.
//! Rule 2: the byte after `max_held` bytes of one block makes it stream: from there on what is decided leaves at the
//! end of each call. Where that happens depends on the bytes alone, never on how they were cut.
//! Rule 3: nothing leaves twice, nothing is forgotten: `emitted` is the offset up to which the input has met its fate.

use crate::error::Error;
use crate::json::scan::Status;
use crate::rules::compile::Test;
use crate::sse::field::Field;
use crate::sse::line::Step;

use super::edit::{OPEN, What};
use super::emit::Mark;
use super::options::{Comments, EmptyBlocks, OnInvalid};
use super::overdue::patience;
use super::replay::replay;
use super::splice::{Out, Raw};
use super::stream::{Stream, Work, parts};

/// What the payload of a block is.
enum Payload {
    None,
    Done,
    Json,
    Invalid(u64),
}

/// What one call works with.
pub(crate) struct Turn<'t, 'r, 'o> {
    pub(crate) stream: &'t mut Stream,
    pub(crate) work: &'t mut Work,
    pub(crate) raw: Raw<'r>,
    pub(crate) out: Out<'r, 'o>,
}

impl Turn<'_, '_, '_> {
    /// Reads the chunk.
    pub(crate) fn read(&mut self) -> Result<(), Error> {
        let end = self.raw.chunk_at + self.raw.chunk.len() as u64;
        while self.stream.pos < end {
            if self.work.is_idle(self.stream) {
                replay(self.stream, self.raw, &mut self.out);
                self.work.block.start_at(self.stream.pos);
                if self.stream.pos == end {
                    break;
                }
            }
            let stop = if self.work.plan.streaming {
                // No deadline set within a step of this length falls within it.
                let step = self.stream.max_held().min(patience(self.stream.max_held()));
                end.min(self.stream.pos + step).min(self.work.plan.deadline()).max(self.stream.pos + 1)
            } else {
                end.min(self.work.block.start + self.stream.max_held())
            };
            if stop <= self.stream.pos {
                self.begin_streaming()?;
                continue;
            }
            let full = self.read_to(stop)?;
            if self.work.plan.streaming {
                self.stream(full)?;
            } else if full {
                self.begin_streaming()?;
            }
        }
        Ok(())
    }

    /// Reads up to `stop`, to the end of the block, or to the end of a value or line where the plan is full: then true.
    fn read_to(&mut self, stop: u64) -> Result<bool, Error> {
        let Raw { chunk, chunk_at: base, .. } = self.raw;
        let input = &chunk[..(stop - base) as usize];
        let mut i = (self.stream.pos - base) as usize;
        while let Some(step) = self.stream.lines.next(input, &mut i) {
            let full = match step {
                Step::Value(start, end) => {
                    i = start + self.value(&input[start..end], base + start as u64);
                    self.work.block.field == Some(Field::Data) && self.work.json.paused
                }
                Step::Field(field) => {
                    self.begin_line(field);
                    false
                }
                Step::End { content_end } => {
                    self.end_line(base + content_end as u64, base + i as u64);
                    self.work.plan.is_full()
                }
                Step::Blank => {
                    self.stream.pos = base + i as u64;
                    if self.follows_cr() && self.stream.lines.ended_in_lf() {
                        let at = self.work.block.line_start;
                        self.work.plan.push_line_edit(at, at, What::Break);
                    }
                    self.end_block()?;
                    return Ok(false);
                }
                Step::LateLf => {
                    self.late_lf(base + i as u64);
                    false
                }
                Step::Bom => {
                    self.work.block.first_line = base + i as u64;
                    self.work.block.line_start = base + i as u64;
                    false
                }
            };
            if full {
                self.stream.pos = base + i as u64;
                return Ok(true);
            }
        }
        self.stream.pos = base + i as u64;
        Ok(false)
    }

    /// The LF of a CRLF, after its line or its block has ended with the CR.
    fn late_lf(&mut self, after: u64) {
        if self.work.block.start + 1 == after {
            if !self.stream.dropped_last {
                self.out.copy(self.stream.emitted, after);
            }
            self.stream.emitted = after;
            self.work.block.start_at(after);
        } else if self.work.block.field == Some(Field::Comment) && self.stream.options.comments == Comments::Drop {
            self.work.plan.push_line_edit(after - 1, after, What::DropComment);
        }
        self.work.block.line_start = after;
    }

    /// Would an LF here complete a CRLF, since the comments between are dropped?
    fn follows_cr(&self) -> bool {
        self.work.block.after_cr && self.work.block.field == Some(Field::Comment)
    }

    /// A line's field is known.
    fn begin_line(&mut self, field: Field) {
        let block = &mut self.work.block;
        let last = block.field.replace(field);
        if field == Field::Data {
            block.joining = block.has_data;
            if !block.has_data {
                block.has_data = true;
                parts(self.stream, self.work, self.raw).0.begin();
            }
            self.work.block.has_field = true;
            return;
        }
        if block.has_data && !block.left_data {
            block.left_data = true;
            self.work.plan.leave_payload(block.data_end);
        }
        match field {
            Field::Comment => {
                block.has_comment = true;
                self.stream.stats.comments += 1;
                match self.stream.options.comments {
                    Comments::Keep => {}
                    Comments::Drop => {
                        if last != Some(Field::Comment) {
                            block.after_cr = block.line_start > block.first_line && self.stream.lines.ended_in_cr();
                        }
                        self.work.plan.push_line_edit(block.line_start, OPEN, What::DropComment);
                    }
                    Comments::Replace(_) => block.comment_waits = true,
                }
                return;
            }
            Field::Event => block.event_type.clear(),
            Field::Id => block.begin_id(),
            _ => {}
        }
        block.has_field = true;
    }

    /// A piece of the line's value. Returns how much of it was read.
    fn value(&mut self, bytes: &[u8], at: u64) -> usize {
        match self.work.block.field {
            Some(Field::Data) => {
                if self.work.block.joining {
                    self.join(at);
                }
                if !self.work.block.has_payload {
                    self.work.block.has_payload = true;
                    self.work.block.payload_start = at;
                }
                let (mut planner, json) = parts(self.stream, self.work, self.raw);
                let read = json.feed(bytes, at, &mut planner);
                self.work.block.sentinel.push(&bytes[..read]);
                return read;
            }
            Some(Field::Comment) if self.work.block.comment_waits => {
                self.work.block.comment_waits = false;
                self.work.plan.push_line_edit(at, OPEN, What::Comment);
            }
            Some(Field::Event) => {
                if let Some(longest) = self.stream.rules.event_type_length {
                    // One byte more than the longest type that matters makes it another.
                    let room = (longest + 1).saturating_sub(self.work.block.event_type.len());
                    self.work.block.event_type.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
            }
            Some(Field::Id) => self.work.block.push_id(bytes, at, self.stream.options.max_held),
            _ => {}
        }
        bytes.len()
    }

    /// The payload goes on in a further data line whose value begins at `at`.
    fn join(&mut self, at: u64) {
        self.work.block.joining = false;
        self.work.block.joined = true;
        self.work.block.has_payload = true;
        let from = self.work.block.data_end;
        let (mut planner, json) = parts(self.stream, self.work, self.raw);
        let before = json.status();
        json.feed(b"\n", from, &mut planner);
        if json.status() != before && json.status() == Status::Invalid(from) {
            // The line break of the join has no place of its own: what it breaks is known where the payload goes on.
            json.invalidate(at);
        }
        self.work.block.sentinel.push(b"\n");
        if self.work.block.left_data {
            self.work.block.left_data = false;
            self.work.plan.enter_payload(from, at);
        }
    }

    fn end_line(&mut self, content_end: u64, after: u64) {
        match self.work.block.field {
            Some(Field::Data) => {
                if self.work.block.joining {
                    self.join(content_end);
                }
                self.work.block.data_end = content_end;
                // Whatever follows, a number ends with its line.
                let (mut planner, json) = parts(self.stream, self.work, self.raw);
                json.end_number(content_end, &mut planner);
            }
            Some(Field::Comment) => match self.stream.options.comments {
                Comments::Keep => {}
                Comments::Drop => self.work.plan.end_line_edit(after),
                Comments::Replace(_) if self.work.block.comment_waits => {
                    self.work.block.comment_waits = false;
                    self.work.plan.push_line_edit(content_end, content_end, What::Comment);
                }
                Comments::Replace(_) => self.work.plan.end_line_edit(content_end),
            },
            Some(Field::Id) => self.work.block.end_id(),
            _ => {}
        }
        self.work.block.line_start = after;
    }

    fn payload(&self) -> Payload {
        if !self.work.block.has_data {
            return Payload::None;
        }
        match self.work.json.status() {
            Status::Complete => Payload::Json,
            _ if self.work.block.sentinel.is_done() => Payload::Done,
            Status::Incomplete => Payload::Invalid(self.work.block.data_end),
            Status::Invalid(at) => Payload::Invalid(at),
        }
    }

    /// The block is whole.
    fn end_block(&mut self) -> Result<(), Error> {
        let end = self.stream.pos;
        let payload = self.payload();
        self.stream.stats.events += u64::from(self.work.block.has_data);
        self.stream.stats.done |= matches!(payload, Payload::Done);
        let mut drop = self.work.block.dropping;
        if let Payload::Invalid(at) = payload {
            self.stream.stats.invalid += 1;
            self.invalidate(at);
            match self.stream.options.on_invalid {
                OnInvalid::Pass => {}
                OnInvalid::Drop => drop |= !self.work.plan.streaming,
                OnInvalid::Raise => {
                    let cut = self.work.json.status() == Status::Incomplete;
                    return self.raise(at, if cut { self.work.block.line_start } else { at });
                }
            }
        } else if matches!(payload, Payload::Done) {
            self.invalidate(end);
        }
        let lesson = if drop { None } else { self.lesson() };
        self.work.plan.take_captures(&self.stream.rules, self.raw, &mut self.stream.captured);
        if !self.work.plan.streaming {
            let empty = self.stream.options.empty_blocks == EmptyBlocks::Drop && !self.work.block.has_payload;
            drop |= empty || self.is_dropped(true);
        }
        let only_comments = self.work.block.has_comment && !self.work.block.has_field;
        self.stream.stats.dropped += u64::from(drop);
        drop |= only_comments && self.stream.options.comments == Comments::Drop && !self.work.plan.streaming;
        if drop {
            self.start_counters();
            self.pass_bom();
            self.stream.emitted = end;
        } else {
            self.emit(end)?;
            self.stream.stats.rewritten += u64::from(self.work.block.rewritten);
            if let Some(lesson) = lesson {
                self.learn(lesson);
            }
        }
        self.stream.dropped_last = drop;
        if let Some(id) = self.work.block.id.take() {
            self.stream.last_event_id = id;
        }
        self.begin_block(end);
        Ok(())
    }

    /// The payload is no JSON.
    fn invalidate(&mut self, at: u64) {
        if self.work.plan.streaming {
            self.start_counters();
        }
        self.work.plan.invalidate(at);
        for counter in &mut self.stream.counters {
            counter.found = None;
        }
    }

    /// The BOM is the stream's, it stays where the first block goes.
    fn pass_bom(&mut self) {
        self.out.copy(self.stream.emitted, self.work.block.first_line);
        self.stream.emitted = self.stream.emitted.max(self.work.block.first_line);
    }

    /// A counter that waits for the first number begins at the one this event brought.
    fn start_counters(&mut self) {
        for counter in &mut self.stream.counters {
            counter.next = counter.next.or(counter.found);
        }
    }

    /// Splices everything up to `upto` into the output.
    fn emit(&mut self, upto: u64) -> Result<(), Error> {
        self.start_counters();
        let mut mark = Mark { emitted: self.stream.emitted, rewritten: false };
        let (mut planner, _) = parts(self.stream, self.work, self.raw);
        let called = planner.call_functions();
        let upto = match called {
            Ok(()) => upto,
            Err((_, at)) if planner.plan.streaming => upto.min(at),
            Err((error, _)) => return Err(error),
        };
        planner.emit(&mut mark, upto, &mut self.out);
        self.stream.emitted = mark.emitted;
        self.work.block.rewritten |= mark.rewritten;
        called.map_err(|(error, _)| error)
    }

    fn begin_block(&mut self, at: u64) {
        self.work.begin(at);
        for counter in &mut self.stream.counters {
            counter.found = None;
            counter.current = None;
        }
    }

    /// Does a `DropEvent` hold? Of a block that is not `whole` only what cannot change any more counts.
    fn is_dropped(&self, whole: bool) -> bool {
        self.stream.rules.drops.iter().any(|tests| {
            tests.iter().all(|test| match test {
                Test::Hit(bit) => self.work.plan.container && self.work.plan.hit(*bit),
                Test::NoHit(bit) => whole && self.work.plan.container && !self.work.plan.hit(*bit),
                Test::EventIs(name) if self.work.block.event_type.is_empty() => {
                    self.work.block.has_data && **name == *b"message"
                }
                Test::EventIs(name) => **name == *self.work.block.event_type,
            })
        })
    }

    /// The block is larger than may be held.
    fn begin_streaming(&mut self) -> Result<(), Error> {
        if let Status::Invalid(at) = self.work.json.status() {
            self.invalidate(at);
        }
        self.work.block.dropping = self.is_dropped(false);
        self.work.plan.take_captures(&self.stream.rules, self.raw, &mut self.stream.captured);
        self.work.plan.stream();
        self.stream(true)
    }

    /// Ends the stream with an error. Of an event that streams what came before `upto` has left, or leaves now.
    fn raise(&mut self, offset: u64, upto: u64) -> Result<(), Error> {
        if self.work.plan.streaming && !self.work.block.dropping {
            self.emit(upto)?;
        }
        Err(Error::InvalidEvent { offset })
    }

    /// Lets go of what is decided, and decides more where a `full` plan stays too large.
    fn stream(&mut self, full: bool) -> Result<(), Error> {
        loop {
            self.let_go()?;
            self.work.plan.measure();
            if !full || !self.work.plan.is_full() || !parts(self.stream, self.work, self.raw).0.decide_half() {
                return Ok(());
            }
        }
    }

    fn let_go(&mut self) -> Result<(), Error> {
        let pos = self.stream.pos;
        let mut upto = pos;
        if let Status::Invalid(at) = self.work.json.status() {
            self.invalidate(at);
            if self.stream.options.on_invalid == OnInvalid::Raise {
                if self.work.block.sentinel.is_other() {
                    self.stream.stats.events += 1;
                    self.stream.stats.invalid += 1;
                    return self.raise(at, at);
                }
                upto = at;
            }
        }
        parts(self.stream, self.work, self.raw).0.decide_overdue(pos);
        upto = self.work.plan.frontier(upto);
        // What is dropped may end with this line or go on in the next data line: until that is known, it stays.
        let between =
            self.work.block.field == Some(Field::Data) && (self.work.block.joining || self.stream.lines.in_name());
        if between && self.work.plan.is_dropping() {
            upto = upto.min(self.work.block.data_end);
        }
        if self.work.block.dropping {
            self.pass_bom();
            let mut mark = Mark { emitted: self.stream.emitted, rewritten: false };
            parts(self.stream, self.work, self.raw).0.discard(&mut mark, upto);
            self.stream.emitted = mark.emitted;
            return Ok(());
        }
        self.emit(upto)
    }

    /// No further byte comes.
    pub(crate) fn end_stream(&mut self) -> Result<(), Error> {
        if self.stream.pos == self.work.block.first_line {
            self.pass_bom();
            self.stream.emitted = self.stream.pos;
            return Ok(());
        }
        let line_open = !self.stream.lines.at_line_start();
        let value_open = line_open && !self.stream.lines.in_name();
        let follows_cr = self.follows_cr() && (value_open || !line_open);
        let comment_goes =
            self.stream.options.comments == Comments::Drop && self.work.block.field == Some(Field::Comment);
        let closing = self.stream.lines.closing(line_open && !(value_open && comment_goes));
        let open_field = if value_open { self.work.block.field } else { self.stream.lines.open_name() };
        let data_open = line_open && open_field == Some(Field::Data);
        if value_open {
            self.end_line(self.stream.pos, self.stream.pos);
        }
        let ends = match self.payload() {
            Payload::None => false,
            Payload::Done => true,
            Payload::Json => !(value_open && data_open && self.work.json.in_bare_number()),
            Payload::Invalid(_) => {
                let cut = self.work.json.status() == Status::Incomplete && self.work.json.has_begun();
                !data_open && !cut
            }
        };
        if ends {
            self.end_block()?;
            if !self.stream.dropped_last {
                if follows_cr && closing.starts_with(b"\n") {
                    self.out.write(b"\n");
                }
                self.out.write(&closing);
            }
            return Ok(());
        }
        self.stream.stats.truncated = self.work.block.has_data;
        self.invalidate(self.stream.pos);
        if self.work.block.dropping {
            self.stream.emitted = self.stream.pos;
        } else {
            self.pass_bom();
            let before = self.out.length();
            self.emit(self.stream.pos)?;
            self.stream.ended_open = self.work.plan.streaming || self.out.length() > before;
        }
        Ok(())
    }
}
