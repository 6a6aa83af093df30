//! One block: all lines up to and including a blank line.

use crate::sse::field::Field;

use super::hold::append;

/// What is known of the block being read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    /// Offset of its first byte.
    pub(crate) start: u64,
    /// Offset of its first line, behind the BOM where there is one.
    pub(crate) first_line: u64,
    /// Offset of the current line's first byte.
    pub(crate) line_start: u64,
    pub(crate) field: Option<Field>,
    pub(crate) has_data: bool,
    /// Some data line has a value.
    pub(crate) has_payload: bool,
    /// Where the payload begins.
    pub(crate) payload_start: u64,
    /// The payload has several lines.
    pub(crate) joined: bool,
    pub(crate) has_comment: bool,
    /// Some line is no comment.
    pub(crate) has_field: bool,
    /// Where the last data line's value ended, once it has.
    pub(crate) data_end: u64,
    /// Another line stands after that data line.
    pub(crate) left_data: bool,
    /// A further data line has begun; its value, and with it the join, has not.
    pub(crate) joining: bool,
    /// The last line that is kept ended in a lone CR, comments that go stand after it.
    pub(crate) after_cr: bool,
    /// A comment whose text is to be replaced has begun, its text has not.
    pub(crate) comment_waits: bool,
    pub(crate) sentinel: Sentinel,
    /// The event type, as far as it can matter.
    pub(crate) event_type: Vec<u8>,
    /// Number of `id:` lines, and where the value of the last one stands, if it has one.
    pub(crate) id_lines: usize,
    pub(crate) id_span: Option<(u64, u64)>,
    /// The value of an `id:` line being read, and of the last whole one.
    pub(crate) id_value: Option<Vec<u8>>,
    pub(crate) id: Option<Vec<u8>>,
    /// An edit of it has left.
    pub(crate) rewritten: bool,
    /// It streams into nothing.
    pub(crate) dropping: bool,
}

impl Block {
    /// The block, of which nothing is known yet, begins at `start`.
    #[inline]
    pub(crate) fn start_at(&mut self, start: u64) {
        self.start = start;
        self.first_line = start;
        self.line_start = start;
    }

    /// A piece of an `id:` line's value, at offset `at`. One larger than may be held is ignored.
    pub(crate) fn push_id(&mut self, bytes: &[u8], at: u64, limit: usize) {
        let start = self.id_span.map_or(at, |(start, _)| start);
        self.id_span = Some((start, at + bytes.len() as u64));
        match &mut self.id_value {
            Some(value) if value.len() + bytes.len() <= limit => append(value, bytes, limit),
            _ => self.id_value = None,
        }
    }

    /// The `id:` line ends. The standard ignores a value that holds NUL.
    pub(crate) fn end_id(&mut self) {
        self.id = self.id_value.take().filter(|value| !value.contains(&0)).or(self.id.take());
    }

    /// An `id:` line begins.
    pub(crate) fn begin_id(&mut self) {
        self.id_lines += 1;
        self.id_span = None;
        self.id_value = Some(Vec::new());
    }

    /// A block that begins at `start`.
    pub(crate) fn at(start: u64) -> Self {
        Block { start, first_line: start, line_start: start, ..Block::default() }
    }
}

/// Recognises a payload that is `[DONE]`, with or without white space around it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sentinel {
    matched: u8,
    other: bool,
}

impl Sentinel {
    const TEXT: &'static [u8] = b"[DONE]";

    #[inline]
    pub(crate) fn push(&mut self, payload: &[u8]) {
        for &byte in payload {
            if self.other {
                return;
            }
            let outside = self.matched == 0 || self.is_done();
            if Self::TEXT.get(usize::from(self.matched)) == Some(&byte) {
                self.matched += 1;
            } else if !(outside && matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
                self.other = true;
            }
        }
    }

    /// True once it can no longer be.
    pub(crate) fn is_other(self) -> bool {
        self.other
    }

    pub(crate) fn is_done(self) -> bool {
        !self.other && usize::from(self.matched) == Self::TEXT.len()
    }
}
