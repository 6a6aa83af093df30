//! Learned shapes: most events of a stream differ from the one before in a few values only.
//!
//! Rule 1: a shape is one event that the slow way has read and rewritten, with holes where values may differ. What the
//! scanner and the rules do depends on the bytes outside the holes alone, so an event that fits is rewritten alike.
//! Rule 2: only an ID, strings, numbers and the white space before a closing bracket can be holes, and only where no rule
//! looked.
//! What fills a hole is checked as the scanner would check it; what is not plainly right does not fit and goes the slow way.
//! Rule 3: an event fits whole or not at all, down to its blank line.
//!
//! Theory of operation: a shape begins as one event without holes. Where an event of the same structure comes by that
//! differs in some values, these become holes. A handful of shapes is kept, the last one that fitted first.

use std::sync::{Arc, Weak};

use memchr::memchr3;

use crate::json::string::plain_run;
use crate::limits::{MAX_HOLES, MAX_SHAPE, MAX_SHAPES};
use crate::rules::compile::Compiled;
use crate::sse::line::LineScanner;

use super::edit::{Edit, What};

/// What may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    start: usize,
    end: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The inside of a string that is no name.
    String,
    /// An integer or a decimal number.
    Number,
    /// The value of an `id:` line.
    Id,
    /// White space before a closing bracket, perhaps none (Anthropic's servers pad their events there).
    Space,
}

impl Hole {
    /// Does a place at `offset` move with the end of this? What stands between a value and the white space after it, such
    /// as an insertion, does not move with that.
    fn is_before(&self, offset: usize) -> bool {
        if self.kind == Kind::Space { self.start < offset } else { self.end <= offset }
    }

    /// Length of what fills it at the start of `input`.
    #[inline]
    fn length(&self, input: &[u8]) -> Option<usize> {
        match self.kind {
            Kind::String => string_length(input),
            Kind::Number => number_length(input),
            // A space could be the one that is no part of the value.
            Kind::Id if input.first() == Some(&b' ') => None,
            Kind::Id => memchr3(b'\n', b'\r', 0, input).filter(|&end| end > 0 && input[end] != 0),
            Kind::Space => Some(input.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()),
        }
    }
}

/// An offset in the learned event, and how many holes are before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    offset: usize,
    holes: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// The block as it was learned.
    bytes: Box<[u8]>,
    /// All in its payload that has the form of a hole, in order; what of it may be one, and what is.
    values: Vec<Hole>,
    may_differ: Vec<bool>,
    holes: Vec<Hole>,
    /// Its edits, and the spans that captures saw.
    edits: Vec<(Place, Place, What)>,
    captures: Vec<(usize, Place, Place)>,
    id: Option<(Place, Place)>,
    /// How the line scanner stands after it.
    lines: LineScanner,
}

/// What the slow way found out about a block. All offsets count from its start.
pub(crate) struct Lesson {
    pub(crate) block: Box<[u8]>,
    pub(crate) payload: (usize, usize),
    /// In order; none inside another.
    pub(crate) edits: Vec<Edit>,
    pub(crate) captures: Vec<(usize, u64, u64)>,
    /// The value of its `id:` line.
    pub(crate) id: Option<(u64, u64)>,
    /// Spans that a rule has looked at.
    pub(crate) observed: Vec<(u64, u64)>,
    pub(crate) lines: LineScanner,
}

/// How far everything has moved behind so many holes.
type Moved = [isize; MAX_HOLES + 1];

/// An event that fits a shape.
pub(crate) struct Fit<'s> {
    shape: &'s Shape,
    moved: &'s Moved,
    pub(crate) length: usize,
}

impl Fit<'_> {
    fn at(&self, place: Place) -> u64 {
        (place.offset as isize + self.moved[place.holes]) as u64
    }

    /// The edits, with offsets from the event's start.
    pub(crate) fn edits(&self) -> impl Iterator<Item = Edit> {
        let edit = |&(start, end, what): &(Place, Place, What)| Edit { start: self.at(start), end: self.at(end), what };
        self.shape.edits.iter().map(edit)
    }

    pub(crate) fn is_rewritten(&self) -> bool {
        !self.shape.edits.is_empty()
    }

    /// The spans to capture, likewise.
    pub(crate) fn captures(&self) -> impl Iterator<Item = (usize, u64, u64)> {
        self.shape.captures.iter().map(|&(capture, start, end)| (capture, self.at(start), self.at(end)))
    }

    /// The span of its ID, likewise.
    pub(crate) fn id(&self) -> Option<(u64, u64)> {
        self.shape.id.map(|(start, end)| (self.at(start), self.at(end)))
    }

    pub(crate) fn lines(&self) -> LineScanner {
        self.shape.lines.clone()
    }
}

impl Shape {
    fn learn(lesson: Lesson) -> Self {
        let mut values = values(&lesson.block, lesson.payload);
        if let Some((start, end)) = lesson.id {
            values.push(Hole { start: start as usize, end: end as usize, kind: Kind::Id });
            values.sort_by_key(|value| value.start);
        }
        let observed = |value: &Hole| {
            lesson.observed.iter().any(|&(start, end)| start <= value.end as u64 && value.start as u64 <= end)
        };
        let place = |offset: u64| Place { offset: offset as usize, holes: 0 };
        Shape {
            may_differ: values.iter().map(|value| !observed(value)).collect(),
            values,
            holes: Vec::new(),
            edits: lesson.edits.iter().map(|edit| (place(edit.start), place(edit.end), edit.what)).collect(),
            captures: lesson
                .captures
                .iter()
                .map(|&(capture, start, end)| (capture, place(start), place(end)))
                .collect(),
            id: lesson.id.map(|(start, end)| (place(start), place(end))),
            lines: lesson.lines,
            bytes: lesson.block,
        }
    }

    /// Length of the event at the start of `input`, if it fits.
    #[inline]
    fn fit(&self, input: &[u8], moved: &mut Moved) -> Option<usize> {
        let (mut at, mut learned) = (0, 0);
        for (i, hole) in self.holes.iter().enumerate() {
            let fixed = &self.bytes[learned..hole.start];
            let rest = input.get(at..)?.strip_prefix(fixed)?;
            at += fixed.len() + hole.length(rest)?;
            learned = hole.end;
            moved[i + 1] = at as isize - learned as isize;
        }
        let fixed = &self.bytes[learned..];
        input.get(at..)?.starts_with(fixed).then_some(at + fixed.len())
    }

    /// Takes in an event of the same structure: what differs becomes a hole. False where the structure differs, or
    /// something that a rule has looked at.
    fn widen(&mut self, other: &Shape) -> bool {
        if self.values.len() != other.values.len() {
            return false;
        }
        let mut differs = Vec::with_capacity(self.values.len());
        let (mut here, mut there) = (0, 0);
        for (mine, theirs) in self.values.iter().zip(&other.values) {
            if mine.kind != theirs.kind || self.bytes[here..mine.start] != other.bytes[there..theirs.start] {
                return false;
            }
            differs.push(
                self.holes.contains(mine) || self.bytes[mine.start..mine.end] != other.bytes[theirs.start..theirs.end],
            );
            (here, there) = (mine.end, theirs.end);
        }
        if self.bytes[here..] != other.bytes[there..] || differs.iter().filter(|&&differs| differs).count() > MAX_HOLES
        {
            return false;
        }
        let learnable = differs.iter().zip(&self.may_differ).all(|(&differs, &may)| may || !differs);
        if !learnable || !self.acts_like(other) {
            return false;
        }
        self.holes =
            self.values.iter().zip(&differs).filter(|(_, differs)| **differs).map(|(value, _)| *value).collect();
        self.place_again();
        true
    }

    /// Do both events have the same edits and captures, at corresponding places?
    fn acts_like(&self, other: &Shape) -> bool {
        let same = |mine: Place, theirs: Place| {
            // Places lie outside values: as far behind the same value here as there.
            let before = other.values.iter().take_while(|value| value.is_before(theirs.offset)).count();
            let (from, to) = match before.checked_sub(1) {
                Some(last) => (other.values[last].end, self.values[last].end),
                None => (0, 0),
            };
            theirs.offset - from + to == mine.offset
        };
        self.edits.len() == other.edits.len()
            && self.captures.len() == other.captures.len()
            && self.edits.iter().zip(&other.edits).all(|(a, b)| a.2 == b.2 && same(a.0, b.0) && same(a.1, b.1))
            && self.captures.iter().zip(&other.captures).all(|(a, b)| a.0 == b.0 && same(a.1, b.1) && same(a.2, b.2))
    }

    /// Counts the holes before each place anew.
    fn place_again(&mut self) {
        let holes = &self.holes;
        let place =
            |place: &mut Place| place.holes = holes.iter().take_while(|hole| hole.is_before(place.offset)).count();
        for (start, end, _) in &mut self.edits {
            place(start);
            place(end);
        }
        for (_, start, end) in &mut self.captures {
            place(start);
            place(end);
        }
        if let Some((start, end)) = &mut self.id {
            place(start);
            place(end);
        }
    }
}

/// All that has the form of a hole in a valid payload on one line.
fn values(block: &[u8], (mut at, end): (usize, usize)) -> Vec<Hole> {
    let mut values = Vec::new();
    while at < end {
        match block[at] {
            b'"' => {
                let length = string_length(&block[at + 1..end]).unwrap_or(end - at - 1);
                let inside = Hole { start: at + 1, end: at + 1 + length, kind: Kind::String };
                at = inside.end + 1;
                let is_name = block[at.min(end)..end].trim_ascii_start().starts_with(b":");
                if !is_name {
                    values.push(inside);
                }
            }
            b'-' | b'0'..=b'9' => {
                let length = number_length(&block[at..end]).unwrap_or(0);
                if length > 0 {
                    values.push(Hole { start: at, end: at + length, kind: Kind::Number });
                }
                at += length.max(1);
            }
            b'}' | b']' => {
                let before = block[..at].iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                values.push(Hole { start: at - before, end: at, kind: Kind::Space });
                at += 1;
            }
            _ => at += 1,
        }
    }
    values
}

/// Length of the inside of a string, up to its closing quote; `None` where it is not plainly right.
#[inline]
fn string_length(input: &[u8]) -> Option<usize> {
    let plain = plain_run(input);
    if input.get(plain) == Some(&b'"') {
        return Some(plain);
    }
    escaped_length(input, plain)
}

/// The same where the string is plain up to `at` only.
#[cold]
fn escaped_length(input: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += plain_run(&input[at..]);
        match (input.get(at)?, input.get(at + 1)) {
            (b'"', _) => return Some(at),
            (b'\\', Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => at += 2,
            (b'\\', Some(b'u')) if input.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
            _ => return None,
        }
    }
}

/// Length of an integer or a decimal number; `None` where it is not plainly right.
#[inline]
fn number_length(input: &[u8]) -> Option<usize> {
    let digits = |from: usize| input[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let start = usize::from(input.first()? == &b'-');
    let mut at = start + digits(start);
    if at == start || (input[start] == b'0' && at > start + 1) {
        return None;
    }
    if input.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        at += 1 + fraction;
        if fraction == 0 {
            return None;
        }
    }
    // An exponent goes the slow way.
    (!matches!(input.get(at), Some(b'e' | b'E' | b'.'))).then_some(at)
}

/// The shapes that a thread has learned under one set of rules.
pub(crate) struct Shapes {
    /// Not kept alive, but their address not given to others either.
    rules: Weak<Compiled>,
    shapes: Vec<Shape>,
    /// How far things have moved in the event at hand. (The first entry stays 0.)
    moved: Moved,
    /// Events in a row that fitted none: the more, the more rarely one is learned.
    misses: u32,
}

impl Shapes {
    pub(crate) const fn new() -> Self {
        Shapes { rules: Weak::new(), shapes: Vec::new(), moved: [0; MAX_HOLES + 1], misses: 0 }
    }

    /// Forgets what was learned under other rules.
    pub(crate) fn prepare(&mut self, rules: &Arc<Compiled>) {
        if !std::ptr::eq(self.rules.as_ptr(), Arc::as_ptr(rules)) {
            self.rules = Arc::downgrade(rules);
            self.shapes.clear();
            self.misses = 0;
        }
    }

    #[inline]
    pub(crate) fn find(&mut self, input: &[u8]) -> Option<Fit<'_>> {
        let moved = &mut self.moved;
        let fits = |(i, shape): (usize, &Shape)| shape.fit(input, moved).map(|length| (i, length));
        let (found, length) = self.shapes.iter().enumerate().find_map(fits)?;
        if found > 0 {
            self.shapes[..=found].rotate_right(1);
        }
        self.misses = 0;
        Some(Fit { shape: &self.shapes[0], moved: &self.moved, length })
    }

    /// Whether the event that fitted none is worth a lesson.
    pub(crate) fn wants(&mut self, length: usize) -> bool {
        self.misses = self.misses.saturating_add(1);
        length <= MAX_SHAPE && (self.misses <= 16 || self.misses.is_multiple_of(16))
    }

    pub(crate) fn learn(&mut self, lesson: Lesson) {
        let shape = Shape::learn(lesson);
        if self.shapes.iter_mut().any(|known| known.widen(&shape)) {
            return;
        }
        self.shapes.truncate(MAX_SHAPES - 1);
        self.shapes.insert(0, shape);
    }
}
