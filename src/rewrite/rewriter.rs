//! Feed and finish.
//!
//! Rule 1: an event is kept until its blank line and then leaves whole; what is kept is kept in [`Hold`].
//! Rule 2: the byte after `max_held` bytes of one block makes it stream: from there on what is decided leaves at the
//! end of each call. Where that happens depends on the bytes alone, never on how they were cut.
//! Rule 3: nothing leaves twice, nothing is forgotten: `emitted` is the offset up to which the input has met its fate.

use std::sync::Arc;

use crate::error::Error;
use crate::json::scan::{Scanner, Status};
use crate::limits::DEFAULT_MAX_HELD;
use crate::rules::compile::{Compiled, Rules, Test};
use crate::sse::field::Field;
use crate::sse::line::{LineScanner, Step};

use super::block::Block;
use super::capture::Captured;
use super::edit::{OPEN, What};
use super::emit::Mark;
use super::hold::Hold;
use super::plan::{Counter, Plan, Planner, patience};
use super::splice::{Out, Raw};

/// What becomes of an event whose payload is neither JSON nor `[DONE]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInvalid {
    /// It passes unchanged.
    #[default]
    Pass,
    /// It is dropped.
    Drop,
    /// The stream ends with [`Error::InvalidEvent`].
    Raise,
}

/// What becomes of comments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Comments {
    /// They pass.
    #[default]
    Keep,
    /// Their lines go; a block of comments alone goes whole.
    Drop,
    /// Each gets this text, which holds no line break.
    Replace(String),
}

/// What becomes of blocks without data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyBlocks {
    /// They pass.
    #[default]
    Keep,
    /// They go whole.
    Drop,
}

/// The policies of one stream. The default changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of one event that may be held, at least 1; a larger event streams through.
    pub max_held: usize,
    /// For payloads that are not JSON.
    pub on_invalid: OnInvalid,
    /// For comments.
    pub comments: Comments,
    /// For blocks without data.
    pub empty_blocks: EmptyBlocks,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_held: DEFAULT_MAX_HELD,
            on_invalid: OnInvalid::Pass,
            comments: Comments::Keep,
            empty_blocks: EmptyBlocks::Keep,
        }
    }
}

/// Counts of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blocks with a data line.
    pub events: u64,
    /// Events that left with an edit.
    pub rewritten: u64,
    /// Events whose payload is neither JSON nor `[DONE]`.
    pub invalid: u64,
    /// Blocks dropped by `DropEvent` or by a policy (comments that a policy drops apart).
    pub dropped: u64,
    /// Comment lines seen.
    pub comments: u64,
    /// Bytes fed.
    pub bytes_in: u64,
    /// Bytes returned.
    pub bytes_out: u64,
    /// A `[DONE]` was seen.
    pub done: bool,
    /// The stream ended in the middle of an event.
    pub truncated: bool,
    /// Values too large to be looked at.
    pub oversize: u64,
}

/// Where the output of a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// The chunk itself is the output; nothing was written.
    Unchanged,
    /// The output was appended; it may be nothing.
    Written,
}

enum Phase {
    Open,
    Failed(Error),
    Finished,
}

/// What the payload of a block is.
enum Payload {
    None,
    Done,
    Json,
    Invalid(u64),
}

/// Rewrites one event stream.
///
/// ```
/// use sse_fast::{Fed, Json, Options, Path, Rewriter, Rule, Rules};
///
/// let path = Path::parse("$.model")?;
/// let value = Json::new(br#""alias""#).expect("JSON");
/// let rules = Rules::new(vec![Rule::Replace { path, value, when: None }])?;
/// let mut rewriter = Rewriter::new(&rules, Options::default());
/// let mut out = Vec::new();
/// assert_eq!(rewriter.feed(b"data: {\"model\":\"x\", \"n\":1.0}\n", &mut out)?, Fed::Written);
/// assert_eq!(out, b"");
/// rewriter.feed(b"\n", &mut out)?;
/// assert_eq!(out, b"data: {\"model\":\"alias\", \"n\":1.0}\n\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Rewriter {
    rules: Arc<Compiled>,
    options: Options,
    lines: LineScanner,
    json: Scanner,
    plan: Plan,
    block: Block,
    hold: Hold,
    /// Offset up to which the input has been read.
    pos: u64,
    /// Offset up to which it has left or gone.
    emitted: u64,
    /// The last block went: so does the LF that may follow its CR.
    dropped_last: bool,
    captured: Captured,
    counters: Vec<Counter>,
    stats: Stats,
    last_event_id: Vec<u8>,
    /// The stream was finished in the middle of a block.
    ended_open: bool,
    phase: Phase,
}

impl Rewriter {
    /// A rewriter at the start of a stream.
    pub fn new(rules: &Rules, options: Options) -> Self {
        let rules = Arc::clone(&rules.0);
        Rewriter {
            lines: LineScanner::new(),
            json: Scanner::with_name_limit(rules.longest_name),
            plan: Plan::new(),
            block: Block::at(0),
            hold: Hold::default(),
            pos: 0,
            emitted: 0,
            dropped_last: false,
            captured: Captured::new(&rules),
            counters: Counter::all(&rules),
            stats: Stats::default(),
            last_event_id: Vec::new(),
            ended_open: false,
            phase: Phase::Open,
            options: Options { max_held: options.max_held.max(1), ..options },
            rules,
        }
    }

    /// The counts so far.
    pub fn stats(&self) -> Stats {
        Stats { oversize: self.plan.oversize, ..self.stats }
    }

    /// The last event ID as the standard knows it, U+FFFD for invalid UTF-8.
    pub fn last_event_id(&self) -> String {
        String::from_utf8_lossy(&self.last_event_id).into_owned()
    }

    /// True where the output so far ends at an event boundary, so that an event of one's own may follow.
    pub fn at_boundary(&self) -> bool {
        !self.plan.streaming && !self.ended_open
    }

    /// The captures by name, each with the JSON texts that it has kept.
    pub fn captured(&self) -> impl Iterator<Item = (&str, crate::Keep, &[Box<[u8]>])> {
        let captures = self.rules.captures.iter().enumerate();
        captures.map(|(i, capture)| (capture.name.as_str(), capture.keep, self.captured.texts(i)))
    }

    /// Reads one chunk and appends to `out` every event that it completes.
    ///
    /// # Errors
    /// [`Error::InvalidEvent`] under [`OnInvalid::Raise`], [`Error::Transform`], [`Error::Finished`]. What was complete
    /// before the error is in `out`. Every later call gives the same error.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<Fed, Error> {
        self.check_open()?;
        self.stats.bytes_in += chunk.len() as u64;
        let hold = std::mem::take(&mut self.hold);
        let raw = Raw { held: hold.bytes(), chunk, chunk_at: self.pos, lines: true };
        let mut out = Out::new(raw, out);
        let result = self.read(raw, &mut out);
        let (count, unchanged) = out.finish(result.is_ok());
        self.hold = hold;
        self.stats.bytes_out += count;
        if let Err(error) = result {
            return Err(self.fail(error));
        }
        let rest = (self.pos - self.emitted) as usize;
        self.hold.keep(rest, chunk, self.options.max_held);
        Ok(if unchanged { Fed::Unchanged } else { Fed::Written })
    }

    /// Ends the stream and appends the rest: an event without its blank line is ended, half an event passes as it is.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.check_open()?;
        let hold = std::mem::take(&mut self.hold);
        let raw = Raw { held: hold.bytes(), chunk: &[], chunk_at: self.pos, lines: true };
        let mut out = Out::new(raw, out);
        let result = self.end_stream(raw, &mut out);
        self.stats.bytes_out += out.finish(false).0;
        match result {
            Ok(()) => {
                self.phase = Phase::Finished;
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn check_open(&self) -> Result<(), Error> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Failed(error) => Err(error.clone()),
            Phase::Finished => Err(Error::Finished),
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.phase = Phase::Failed(error.clone());
        self.hold = Hold::default();
        error
    }

    fn max_held(&self) -> u64 {
        self.options.max_held as u64
    }

    /// The planner over the bytes at hand, and what else works with it.
    fn parts<'a>(&'a mut self, raw: Raw<'a>) -> (Planner<'a>, &'a mut Scanner, &'a Options) {
        let planner = Planner {
            plan: &mut self.plan,
            rules: &self.rules,
            raw,
            captured: &mut self.captured,
            counters: &mut self.counters,
            max_held: self.options.max_held as u64,
        };
        (planner, &mut self.json, &self.options)
    }

    fn read(&mut self, raw: Raw<'_>, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let end = raw.chunk_at + raw.chunk.len() as u64;
        while self.pos < end {
            let stop = if self.plan.streaming {
                end.min(self.pos + patience(self.max_held())).min(self.plan.deadline()).max(self.pos + 1)
            } else {
                end.min(self.block.start + self.max_held())
            };
            if stop <= self.pos {
                self.begin_streaming(raw, out)?;
                continue;
            }
            self.read_to(stop, raw, out)?;
            if self.plan.is_full() {
                self.begin_streaming(raw, out)?;
            } else if self.plan.streaming {
                self.stream(raw, out)?;
            }
        }
        Ok(())
    }

    /// Reads up to `stop`, or to the end of the block.
    fn read_to(&mut self, stop: u64, raw: Raw<'_>, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let base = raw.chunk_at;
        let input = &raw.chunk[..(stop - base) as usize];
        let mut i = (self.pos - base) as usize;
        while let Some(step) = self.lines.next(input, &mut i) {
            match step {
                Step::Value(start, end) => {
                    i = start + self.value(&input[start..end], base + start as u64, raw);
                    if self.plan.is_full() {
                        break;
                    }
                }
                Step::Field(field) => self.begin_line(field, raw),
                Step::End { content_end } => self.end_line(base + content_end as u64, base + i as u64, raw),
                Step::Blank => {
                    self.pos = base + i as u64;
                    return self.end_block(raw, out);
                }
                Step::LateLf => self.late_lf(base + i as u64, out),
                Step::Bom => self.block.line_start = base + i as u64,
            }
        }
        self.pos = base + i as u64;
        Ok(())
    }

    /// The LF of a CRLF, after its line or its block has ended with the CR.
    fn late_lf(&mut self, after: u64, out: &mut Out<'_, '_>) {
        if self.block.start + 1 == after {
            if !self.dropped_last {
                out.copy(self.emitted, after);
            }
            self.emitted = after;
            self.block.start = after;
        } else if self.block.field == Some(Field::Comment) && self.options.comments == Comments::Drop {
            self.plan.push_line_edit(after - 1, after, What::DropComment);
        }
        self.block.line_start = after;
    }

    /// A line's field is known.
    fn begin_line(&mut self, field: Field, raw: Raw<'_>) {
        let block = &mut self.block;
        block.field = Some(field);
        if field == Field::Data {
            block.joining = block.has_data;
            if !block.has_data {
                block.has_data = true;
                self.parts(raw).0.begin();
            }
            self.block.has_field = true;
            return;
        }
        if block.has_data && !block.left_data {
            block.left_data = true;
            self.plan.leave_payload(block.data_end);
        }
        match field {
            Field::Comment => {
                block.has_comment = true;
                self.stats.comments += 1;
                match self.options.comments {
                    Comments::Keep => {}
                    Comments::Drop => self.plan.push_line_edit(block.line_start, OPEN, What::DropComment),
                    Comments::Replace(_) => block.comment_waits = true,
                }
                return;
            }
            Field::Event => block.event_type.clear(),
            Field::Id => block.id_value.clear(),
            _ => {}
        }
        block.has_field = true;
    }

    /// A piece of the line's value. Returns how much of it was read.
    fn value(&mut self, bytes: &[u8], at: u64, raw: Raw<'_>) -> usize {
        match self.block.field {
            Some(Field::Data) => {
                if self.block.joining {
                    self.join(at, raw);
                }
                self.block.has_payload = true;
                let (mut planner, json, _) = self.parts(raw);
                let read = json.feed(bytes, at, &mut planner);
                self.block.sentinel.push(&bytes[..read]);
                return read;
            }
            Some(Field::Comment) if self.block.comment_waits => {
                self.block.comment_waits = false;
                self.plan.push_line_edit(at, OPEN, What::Comment);
            }
            Some(Field::Event) => {
                if let Some(longest) = self.rules.event_type_length {
                    // One byte more than the longest type that matters makes it another.
                    let room = (longest + 1).saturating_sub(self.block.event_type.len());
                    self.block.event_type.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
            }
            Some(Field::Id) => self.block.id_value.extend_from_slice(bytes),
            _ => {}
        }
        bytes.len()
    }

    /// The payload goes on in a further data line whose value begins at `at`.
    fn join(&mut self, at: u64, raw: Raw<'_>) {
        self.block.joining = false;
        let from = self.block.data_end;
        let (mut planner, json, _) = self.parts(raw);
        let before = json.status();
        json.feed(b"\n", from, &mut planner);
        if json.status() != before && json.status() == Status::Invalid(from) {
            // The line break of the join has no place of its own: what it breaks is known where the payload goes on.
            json.invalidate(at);
        }
        self.block.sentinel.push(b"\n");
        if self.block.left_data {
            self.block.left_data = false;
            self.plan.enter_payload(from, at);
        }
    }

    fn end_line(&mut self, content_end: u64, after: u64, raw: Raw<'_>) {
        match self.block.field {
            Some(Field::Data) => {
                if self.block.joining {
                    self.join(content_end, raw);
                }
                self.block.data_end = content_end;
                // Whatever follows, a number ends with its line.
                let (mut planner, json, _) = self.parts(raw);
                json.end_number(content_end, &mut planner);
            }
            Some(Field::Comment) => match self.options.comments {
                Comments::Keep => {}
                Comments::Drop => self.plan.end_line_edit(after),
                Comments::Replace(_) if self.block.comment_waits => {
                    self.block.comment_waits = false;
                    self.plan.push_line_edit(content_end, content_end, What::Comment);
                }
                Comments::Replace(_) => self.plan.end_line_edit(content_end),
            },
            Some(Field::Id) if !self.block.id_value.contains(&0) => {
                self.block.id = Some(std::mem::take(&mut self.block.id_value));
            }
            _ => {}
        }
        self.block.line_start = after;
    }

    fn payload(&self) -> Payload {
        if !self.block.has_data {
            return Payload::None;
        }
        match self.json.status() {
            Status::Complete => Payload::Json,
            _ if self.block.sentinel.is_done() => Payload::Done,
            Status::Incomplete => Payload::Invalid(self.block.data_end),
            Status::Invalid(at) => Payload::Invalid(at),
        }
    }

    /// The block is whole.
    fn end_block(&mut self, raw: Raw<'_>, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let end = self.pos;
        let payload = self.payload();
        self.stats.events += u64::from(self.block.has_data);
        self.stats.done |= matches!(payload, Payload::Done);
        let mut drop = self.block.dropping;
        if let Payload::Invalid(at) = payload {
            self.stats.invalid += 1;
            self.invalidate(at);
            match self.options.on_invalid {
                OnInvalid::Pass => {}
                OnInvalid::Drop => drop |= !self.plan.streaming,
                OnInvalid::Raise => {
                    let cut = self.json.status() == Status::Incomplete;
                    return self.raise(at, if cut { self.block.line_start } else { at }, raw, out);
                }
            }
        } else if matches!(payload, Payload::Done) {
            self.invalidate(end);
        }
        self.plan.take_captures(&self.rules, raw, &mut self.captured);
        if !self.plan.streaming {
            let empty = self.options.empty_blocks == EmptyBlocks::Drop && !self.block.has_payload;
            drop |= empty || self.is_dropped(true);
        }
        let only_comments = self.block.has_comment && !self.block.has_field;
        self.stats.dropped += u64::from(drop);
        drop |= only_comments && self.options.comments == Comments::Drop && !self.plan.streaming;
        if drop {
            self.start_counters();
            self.emitted = end;
        } else {
            self.emit(end, raw, out)?;
            self.stats.rewritten += u64::from(self.block.rewritten);
        }
        self.dropped_last = drop;
        if let Some(id) = self.block.id.take() {
            self.last_event_id = id;
        }
        self.begin_block(end);
        Ok(())
    }

    /// The payload is no JSON.
    fn invalidate(&mut self, at: u64) {
        if self.plan.streaming {
            self.start_counters();
        }
        self.plan.invalidate(at);
        for counter in &mut self.counters {
            counter.found = None;
        }
    }

    /// A counter that waits for the first number begins at the one this event brought.
    fn start_counters(&mut self) {
        for counter in &mut self.counters {
            counter.next = counter.next.or(counter.found);
        }
    }

    /// Splices everything up to `upto` into the output.
    fn emit(&mut self, upto: u64, raw: Raw<'_>, out: &mut Out<'_, '_>) -> Result<(), Error> {
        self.start_counters();
        let mut mark = Mark { emitted: self.emitted, rewritten: false };
        let (mut planner, _, options) = self.parts(raw);
        let called = planner.call_functions();
        let upto = match called {
            Ok(()) => upto,
            Err((_, at)) if planner.plan.streaming => upto.min(at),
            Err((error, _)) => return Err(error),
        };
        let comment = match &options.comments {
            Comments::Replace(text) => text.as_bytes(),
            _ => b"",
        };
        planner.emit(&mut mark, upto, comment, out);
        self.emitted = mark.emitted;
        self.block.rewritten |= mark.rewritten;
        called.map_err(|(error, _)| error)
    }

    fn begin_block(&mut self, at: u64) {
        self.plan.reset();
        self.json.reset();
        self.block = Block::at(at);
        for counter in &mut self.counters {
            counter.found = None;
            counter.current = None;
        }
    }

    /// Does a `DropEvent` hold? Of a block that is not `whole` only what cannot change any more counts.
    fn is_dropped(&self, whole: bool) -> bool {
        self.rules.drops.iter().any(|tests| {
            tests.iter().all(|test| match test {
                Test::Hit(bit) => self.plan.container && self.plan.hit(*bit),
                Test::NoHit(bit) => whole && self.plan.container && !self.plan.hit(*bit),
                Test::EventIs(name) if self.block.event_type.is_empty() => self.block.has_data && **name == *b"message",
                Test::EventIs(name) => **name == *self.block.event_type,
            })
        })
    }

    /// The block is larger than may be held.
    fn begin_streaming(&mut self, raw: Raw<'_>, out: &mut Out<'_, '_>) -> Result<(), Error> {
        if let (Status::Invalid(at), false) = (self.json.status(), self.block.sentinel.is_done()) {
            self.invalidate(at);
        }
        self.block.dropping = self.is_dropped(false);
        self.plan.take_captures(&self.rules, raw, &mut self.captured);
        self.plan.stream();
        self.stream(raw, out)
    }

    /// Ends the stream with an error. Of an event that streams what came before `upto` has left, or leaves now.
    fn raise(&mut self, offset: u64, upto: u64, raw: Raw<'_>, out: &mut Out<'_, '_>) -> Result<(), Error> {
        if self.plan.streaming && !self.block.dropping {
            self.emit(upto, raw, out)?;
        }
        Err(Error::InvalidEvent { offset })
    }

    /// Lets go of what is decided.
    fn stream(&mut self, raw: Raw<'_>, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let pos = self.pos;
        let mut upto = pos;
        if let (Status::Invalid(at), false) = (self.json.status(), self.block.sentinel.is_done()) {
            self.invalidate(at);
            if self.options.on_invalid == OnInvalid::Raise {
                if self.block.sentinel.is_other() {
                    return self.raise(at, at, raw, out);
                }
                upto = at;
            }
        }
        self.parts(raw).0.decide_overdue(pos);
        upto = self.plan.frontier(upto);
        // What is dropped may end with this line or go on in the next data line: until that is known, it stays.
        let between = self.block.field == Some(Field::Data) && (self.block.joining || self.lines.in_name());
        if between && self.plan.is_dropping() {
            upto = upto.min(self.block.data_end);
        }
        if self.block.dropping {
            let mut mark = Mark { emitted: self.emitted, rewritten: false };
            self.parts(raw).0.discard(&mut mark, upto);
            self.emitted = mark.emitted;
            return Ok(());
        }
        self.emit(upto, raw, out)
    }

    /// No further byte comes.
    fn end_stream(&mut self, raw: Raw<'_>, out: &mut Out<'_, '_>) -> Result<(), Error> {
        if self.pos == self.block.start {
            return Ok(());
        }
        let line_open = !self.lines.at_line_start();
        let closing = self.lines.closing();
        if line_open && !self.lines.in_name() {
            self.end_line(self.pos, self.pos, raw);
        }
        let ends = match self.payload() {
            Payload::None => false,
            Payload::Done => true,
            Payload::Json => !(line_open && self.json.in_bare_number()),
            Payload::Invalid(_) => {
                let cut = matches!(self.json.status(), Status::Incomplete) && self.block.has_payload;
                !line_open && !cut
            }
        };
        if ends {
            self.end_block(raw, out)?;
            if !self.dropped_last {
                out.write(&closing);
            }
            return Ok(());
        }
        self.stats.truncated = self.block.has_field || (line_open && self.lines.in_name());
        self.invalidate(self.pos);
        let empty = self.options.empty_blocks == EmptyBlocks::Drop && !line_open;
        if !self.block.has_data && empty {
            self.stats.dropped += 1;
            self.emitted = self.pos;
        } else if self.block.dropping {
            self.emitted = self.pos;
        } else {
            self.ended_open = self.emitted < self.pos || self.plan.streaming;
            self.emit(self.pos, raw, out)?;
        }
        Ok(())
    }
}
