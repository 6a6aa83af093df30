//! What is kept of a stream between its events, and what only while one is open.

use std::cell::Cell;
use std::sync::Arc;

use crate::json::scan::Scanner;
use crate::limits::EDIT_SLACK;
use crate::rules::compile::Compiled;
use crate::sse::line::LineScanner;

use super::block::Block;
use super::capture::Captured;
use super::counter::Counter;
use super::options::{Options, Stats};
use super::plan::Plan;
use super::planner::Planner;
use super::splice::Raw;

/// What a stream keeps between two events.
pub(crate) struct Stream {
    pub(crate) rules: Arc<Compiled>,
    pub(crate) options: Options,
    pub(crate) lines: LineScanner,
    /// Offset up to which the input has been read.
    pub(crate) pos: u64,
    /// Offset up to which it has left or gone.
    pub(crate) emitted: u64,
    /// The last block went: so does the LF that may follow its CR.
    pub(crate) dropped_last: bool,
    /// The stream was finished in the middle of a block.
    pub(crate) ended_open: bool,
    pub(crate) captured: Captured,
    pub(crate) counters: Vec<Counter>,
    pub(crate) stats: Stats,
    pub(crate) last_event_id: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(rules: &Arc<Compiled>, options: Options) -> Self {
        Stream {
            rules: Arc::clone(rules),
            options: Options { max_held: options.max_held.max(1), ..options },
            lines: LineScanner::new(),
            pos: 0,
            emitted: 0,
            dropped_last: false,
            ended_open: false,
            captured: Captured::new(rules),
            counters: Counter::all(rules),
            stats: Stats::default(),
            last_event_id: Vec::new(),
        }
    }

    pub(crate) fn max_held(&self) -> u64 {
        self.options.max_held as u64
    }
}

/// What is needed only while an event is open. Between events the thread keeps one for all its streams.
pub(crate) struct Work {
    pub(crate) json: Scanner,
    pub(crate) plan: Plan,
    pub(crate) block: Block,
}

thread_local! {
    static SPARE: Cell<Option<Box<Work>>> = const { Cell::new(None) };
}

impl Work {
    /// Ready for a block that begins where `stream` stands.
    pub(crate) fn take(stream: &Stream) -> Box<Work> {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        let mut work =
            spare.unwrap_or_else(|| Box::new(Work { json: Scanner::new(), plan: Plan::new(), block: Block::at(0) }));
        work.json.set_name_limit(stream.rules.longest_name);
        work.block.start_at(stream.pos);
        work.plan.budget = stream.options.max_held.saturating_add(EDIT_SLACK);
        work
    }

    /// Given back between two events, as a fresh one but for small buffers.
    pub(crate) fn give_back(self: Box<Self>) {
        // A thread that is ending keeps nothing.
        let _ = SPARE.try_with(|spare| spare.set(Some(self)));
    }

    /// True where no byte of the next block has been read.
    pub(crate) fn is_idle(&self, stream: &Stream) -> bool {
        self.block.start == stream.pos
    }

    pub(crate) fn begin(&mut self, at: u64) {
        self.plan.reset();
        self.json.reset();
        self.block = Block::at(at);
    }
}

/// The planner over the bytes at hand, and the scanner that tells it.
pub(crate) fn parts<'a>(stream: &'a mut Stream, work: &'a mut Work, raw: Raw<'a>) -> (Planner<'a>, &'a mut Scanner) {
    let planner = Planner {
        plan: &mut work.plan,
        rules: &stream.rules,
        raw,
        captured: &mut stream.captured,
        counters: &mut stream.counters,
        comment: stream.options.comments.text(),
        max_held: stream.options.max_held as u64,
    };
    (planner, &mut work.json)
}
