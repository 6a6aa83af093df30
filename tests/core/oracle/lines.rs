//! Lines and blocks of an event stream, and the events that the standard dispatches.

use std::ops::Range;

use sse_fast::Event;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One line, each part by its offset in the stream.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) start: usize,
    /// Where the line ending begins.
    pub(crate) content_end: usize,
    /// Where the next line begins.
    pub(crate) end: usize,
    /// Where the field name, or nothing of a comment, ends.
    colon: Option<usize>,
    pub(crate) value: Range<usize>,
}

impl Line {
    pub(crate) fn is_blank(&self) -> bool {
        self.start == self.content_end
    }

    pub(crate) fn is_comment(&self) -> bool {
        self.colon == Some(self.start)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.content_end < self.end
    }

    pub(crate) fn ending<'a>(&self, stream: &'a [u8]) -> &'a [u8] {
        &stream[self.content_end..self.end]
    }

    /// The field's name; none of a comment, nor of a line without its end whose name may go on.
    pub(crate) fn field<'a>(&self, stream: &'a [u8]) -> Option<&'a [u8]> {
        match self.colon {
            Some(colon) if colon > self.start => Some(&stream[self.start..colon]),
            None if self.is_ended() && !self.is_blank() => Some(&stream[self.start..self.content_end]),
            _ => None,
        }
    }
}

/// How long the byte order mark is.
pub(crate) fn bom(stream: &[u8]) -> usize {
    if stream.starts_with(BOM) { BOM.len() } else { 0 }
}

/// The lines of a stream; the last may have no ending.
pub(crate) fn lines(stream: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut start = bom(stream);
    while start < stream.len() {
        let rest = &stream[start..];
        let length = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        let ending = match rest[length..] {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        let content_end = start + length;
        let colon = rest[..length].iter().position(|&byte| byte == b':').map(|at| start + at);
        let value = match colon {
            Some(colon) if stream[colon + 1..content_end].starts_with(b" ") => colon + 2..content_end,
            Some(colon) => colon + 1..content_end,
            None => content_end..content_end,
        };
        lines.push(Line { start, content_end, end: content_end + ending, colon, value });
        start = content_end + ending;
    }
    lines
}

/// The blocks: each ends with a blank line, but for the last, which may have none.
pub(crate) fn blocks(lines: &[Line]) -> Vec<&[Line]> {
    lines.split_inclusive(Line::is_blank).collect()
}

/// What a client sees: the events, and in the end the last event ID and the reconnection time.
pub(crate) fn dispatch(stream: &[u8]) -> (Vec<Event>, String, Option<u64>) {
    let mut events = Vec::new();
    let (mut event, mut data, mut id, mut retry) = (String::new(), Vec::new(), String::new(), None);
    let (mut last_id, mut last_retry) = (String::new(), None);
    for line in lines(stream) {
        let value = String::from_utf8_lossy(&stream[line.value.clone()]).into_owned();
        if line.is_blank() {
            last_id.clone_from(&id);
            let name = std::mem::take(&mut event);
            let lines: Vec<String> = std::mem::take(&mut data);
            let retry = retry.take();
            if !lines.is_empty() {
                let event = if name.is_empty() { "message".into() } else { name };
                events.push(Event { event, data: lines.join("\n"), id: last_id.clone(), retry });
            }
        } else if line.is_ended() {
            match line.field(stream) {
                Some(b"event") => event = value,
                Some(b"data") => data.push(value),
                Some(b"id") if !value.contains('\0') => id = value,
                Some(b"retry") if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                    if let Ok(time) = value.parse() {
                        retry = Some(time);
                        last_retry = retry;
                    }
                }
                _ => {}
            }
        }
    }
    (events, last_id, last_retry)
}
