//! Input in two pieces, output with as few copies as there are edits.

use std::borrow::Cow;

use memchr::memchr2;

use crate::sse::field::Field;
use crate::sse::line::{LineScanner, Step};

/// The bytes at hand: what was held and, right after it, the chunk. Addressed by offset in the stream.
#[derive(Clone, Copy)]
pub(crate) struct Raw<'a> {
    pub(crate) held: &'a [u8],
    pub(crate) chunk: &'a [u8],
    /// Offset of the chunk's first byte.
    pub(crate) chunk_at: u64,
    /// The bytes are lines of an event stream; otherwise they are one JSON text.
    pub(crate) lines: bool,
}

impl<'a> Raw<'a> {
    /// The bytes of a span, as the part that was held and the part in the chunk.
    fn parts(&self, start: u64, end: u64) -> (&'a [u8], &'a [u8]) {
        let held_at = self.chunk_at - self.held.len() as u64;
        let split = self.chunk_at.clamp(start, end);
        let held = if start < split { &self.held[(start - held_at) as usize..(split - held_at) as usize] } else { &[] };
        let chunk = if split < end {
            &self.chunk[(split - self.chunk_at) as usize..(end - self.chunk_at) as usize]
        } else {
            &[]
        };
        (held, chunk)
    }

    /// The payload text between two offsets inside data lines: line endings and field names between them are a join.
    pub(crate) fn payload(&self, start: u64, end: u64) -> Cow<'a, [u8]> {
        let bytes = match self.parts(start, end) {
            (bytes, []) | ([], bytes) => Cow::Borrowed(bytes),
            (held, chunk) => Cow::Owned([held, chunk].concat()),
        };
        if !self.lines || memchr2(b'\n', b'\r', &bytes).is_none() { bytes } else { Cow::Owned(join(&bytes)) }
    }
}

/// The payload of `bytes`, which begin and end inside a data line.
fn join(bytes: &[u8]) -> Vec<u8> {
    let mut lines = LineScanner::in_value();
    let mut field = Field::Data;
    let mut payload = Vec::with_capacity(bytes.len());
    let mut pos = 0;
    while let Some(step) = lines.next(bytes, &mut pos) {
        match step {
            Step::Field(next) => {
                field = next;
                if field == Field::Data {
                    payload.push(b'\n');
                }
            }
            Step::Value(start, end) if field == Field::Data => payload.extend_from_slice(&bytes[start..end]),
            _ => {}
        }
    }
    payload
}

/// The output of one call. What passes unchanged is kept as one range of the chunk for as long as it is one.
pub(crate) struct Out<'a, 'o> {
    raw: Raw<'a>,
    written: &'o mut Vec<u8>,
    written_before: usize,
    pass: (usize, usize),
}

impl<'a, 'o> Out<'a, 'o> {
    pub(crate) fn new(raw: Raw<'a>, written: &'o mut Vec<u8>) -> Self {
        Out { raw, written_before: written.len(), written, pass: (0, 0) }
    }

    /// Passes a span of the input.
    pub(crate) fn copy(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        if start < self.raw.chunk_at {
            let (held, _) = self.raw.parts(start, end);
            self.write(held);
        }
        if end > self.raw.chunk_at {
            let from = start.saturating_sub(self.raw.chunk_at) as usize;
            let to = (end - self.raw.chunk_at) as usize;
            if self.pass.1 != from || self.pass.0 == self.pass.1 {
                self.flush();
                self.pass = (from, from);
            }
            self.pass.1 = to;
        }
    }

    /// Bytes that have come out in this call.
    pub(crate) fn length(&self) -> usize {
        self.written.len() - self.written_before + self.pass.1 - self.pass.0
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.flush();
        self.written.extend_from_slice(bytes);
    }

    fn flush(&mut self) {
        let (from, to) = std::mem::take(&mut self.pass);
        self.written.extend_from_slice(&self.raw.chunk[from..to]);
    }

    /// Ends the call: how many bytes came out, and whether they are the chunk itself. In that case nothing is written,
    /// if the caller `may_return` the chunk.
    pub(crate) fn finish(mut self, may_return: bool) -> (u64, bool) {
        let whole = may_return
            && self.written.len() == self.written_before
            && self.pass == (0, self.raw.chunk.len())
            && !self.raw.chunk.is_empty();
        if whole {
            return (self.raw.chunk.len() as u64, true);
        }
        self.flush();
        ((self.written.len() - self.written_before) as u64, false)
    }
}
