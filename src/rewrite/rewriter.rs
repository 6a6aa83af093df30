//! Feed and finish.

use crate::error::Error;
use crate::rules::compile::Rules;
use crate::rules::rule::Keep;

use super::hold::Hold;
use super::options::{Options, Stats};
use super::replay::replay;
use super::splice::{Out, Raw};
use super::stream::{Stream, Work};
use super::turn::Turn;

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
    Failed(Box<Error>),
    Finished,
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
    stream: Stream,
    /// There is one while an event is open.
    work: Option<Box<Work>>,
    hold: Hold,
    phase: Phase,
}

impl Rewriter {
    /// A rewriter at the start of a stream.
    pub fn new(rules: &Rules, options: Options) -> Self {
        Rewriter { stream: Stream::new(&rules.0, options), work: None, hold: Hold::default(), phase: Phase::Open }
    }

    /// The counts so far.
    pub fn stats(&self) -> Stats {
        self.stream.stats
    }

    /// The last event ID as the standard knows it, U+FFFD for invalid UTF-8.
    pub fn last_event_id(&self) -> String {
        String::from_utf8_lossy(&self.stream.last_event_id).into_owned()
    }

    /// True where the output so far ends at an event boundary, so that an event of one's own may follow.
    pub fn at_boundary(&self) -> bool {
        !self.stream.ended_open && self.work.as_ref().is_none_or(|work| !work.plan.streaming)
    }

    /// The captures by name, each with the JSON texts that it has kept, in the order in which they began.
    pub fn captured(&self) -> impl Iterator<Item = (&str, Keep, Vec<&[u8]>)> {
        let captures = self.stream.rules.captures.iter().enumerate();
        captures.map(|(i, capture)| (capture.name.as_str(), capture.keep, self.stream.captured.texts(i).collect()))
    }

    /// The path of each `Renumber` and the number that it has for the next event: one of one's own may take it. Without
    /// those that wait for the first number.
    pub fn next_numbers(&self) -> impl Iterator<Item = (&str, i64)> {
        self.stream.counters.iter().filter_map(|counter| {
            let path = self.stream.rules.rules[counter.rule as usize].path()?;
            Some((path.as_str(), counter.next?))
        })
    }

    /// Reads one chunk and appends to `out` every event that it completes.
    ///
    /// # Errors
    /// [`Error::InvalidEvent`] under [`OnInvalid::Raise`](crate::OnInvalid::Raise), [`Error::Transform`],
    /// [`Error::Finished`]. What was complete before the error is in `out`. Every later call gives the same error.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<Fed, Error> {
        self.check_open()?;
        self.stream.stats.bytes_in += chunk.len() as u64;
        let hold = std::mem::take(&mut self.hold);
        let raw = Raw { held: hold.bytes(), chunk, chunk_at: self.stream.pos, lines: true };
        let mut out = Out::new(raw, out);
        if self.work.is_none() {
            replay(&mut self.stream, raw, &mut out);
        }
        let whole = self.stream.pos == raw.chunk_at + chunk.len() as u64 && self.work.is_none();
        let (result, unchanged) =
            if whole { (Ok(()), self.end_turn(out, true)) } else { self.turn(raw, out, |turn| turn.read()) };
        self.hold = hold;
        result.map_err(|error| self.fail(error))?;
        let rest = (self.stream.pos - self.stream.emitted) as usize;
        self.hold.keep(rest, chunk, self.stream.options.max_held);
        Ok(if unchanged { Fed::Unchanged } else { Fed::Written })
    }

    /// Ends the stream and appends the rest: an event without its blank line is ended, half an event passes as it is.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.check_open()?;
        let hold = std::mem::take(&mut self.hold);
        let raw = Raw { held: hold.bytes(), chunk: b"", chunk_at: self.stream.pos, lines: true };
        let (result, _) = self.turn(raw, Out::new(raw, out), |turn| turn.end_stream());
        result.map_err(|error| self.fail(error))?;
        self.work = None;
        self.phase = Phase::Finished;
        Ok(())
    }

    /// One call's work. Says whether the output is the chunk itself.
    fn turn(
        &mut self,
        raw: Raw<'_>,
        out: Out<'_, '_>,
        act: impl FnOnce(&mut Turn<'_, '_, '_>) -> Result<(), Error>,
    ) -> (Result<(), Error>, bool) {
        let stream = &mut self.stream;
        let mut work = self.work.take().unwrap_or_else(|| Work::take(stream));
        let mut turn = Turn { stream, work: &mut work, raw, out };
        let result = act(&mut turn);
        let out = turn.out;
        stream.stats.oversize += std::mem::take(&mut work.plan.oversize);
        if work.is_idle(stream) {
            work.give_back();
        } else {
            self.work = Some(work);
        }
        let unchanged = self.end_turn(out, result.is_ok());
        (result, unchanged)
    }

    fn end_turn(&mut self, out: Out<'_, '_>, may_return: bool) -> bool {
        let (count, unchanged) = out.finish(may_return);
        self.stream.stats.bytes_out += count;
        unchanged
    }

    fn check_open(&self) -> Result<(), Error> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Failed(error) => Err((**error).clone()),
            Phase::Finished => Err(Error::Finished),
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.phase = Phase::Failed(Box::new(error.clone()));
        self.hold = Hold::default();
        self.work = None;
        error
    }
}
