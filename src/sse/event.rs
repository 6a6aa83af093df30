//! Events as the standard dispatches them (WHATWG HTML, "interpreting an event stream").

use super::field::Field;
use super::line::{LineScanner, Step};

/// One dispatched event. Invalid UTF-8 is U+FFFD, as the standard decodes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event type, `"message"` where the stream names none.
    pub event: String,
    /// The `data:` lines, joined with LF.
    pub data: String,
    /// The last event ID at dispatch.
    pub id: String,
    /// The reconnection time that this block set, in milliseconds.
    pub retry: Option<u64>,
}

/// An incremental event stream parser for clients: every event by the call that completes it, whatever the cuts.
///
/// ```
/// let mut parser = sse_fast::Parser::new();
/// let mut events = Vec::new();
/// for chunk in [&b"data: h\xC3"[..], b"\xA9\r", b"\n\r\n"] {
///     parser.feed(chunk, |event| events.push(event));
/// }
/// assert_eq!(events[0].data, "h\u{e9}");
/// ```
#[derive(Clone, Debug)]
pub struct Parser {
    lines: LineScanner,
    field: Field,
    /// The value of the line being read, for the fields that need it whole.
    value: Vec<u8>,
    event: Vec<u8>,
    /// The data lines of the block, each with its LF.
    data: Vec<u8>,
    id: Vec<u8>,
    last_event_id: String,
    retry: Option<u64>,
    block_retry: Option<u64>,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the start of a stream.
    pub fn new() -> Self {
        Parser {
            lines: LineScanner::new(),
            field: Field::Other,
            value: Vec::new(),
            event: Vec::new(),
            data: Vec::new(),
            id: Vec::new(),
            last_event_id: String::new(),
            retry: None,
            block_retry: None,
        }
    }

    /// The last event ID, to resume with.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The reconnection time in milliseconds, where the stream has set one.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// Reads one chunk and gives each event that it completes to `dispatch`.
    pub fn feed(&mut self, chunk: &[u8], mut dispatch: impl FnMut(Event)) {
        let mut pos = 0;
        while let Some(step) = self.lines.next(chunk, &mut pos) {
            match step {
                Step::Field(field) => self.field = field,
                Step::Value(start, end) => {
                    let bytes = &chunk[start..end];
                    match self.field {
                        Field::Data => self.data.extend_from_slice(bytes),
                        Field::Event | Field::Id | Field::Retry => self.value.extend_from_slice(bytes),
                        Field::Comment | Field::Other => {}
                    }
                }
                Step::End { .. } => self.end_line(),
                Step::Blank => {
                    if let Some(event) = self.end_block() {
                        dispatch(event);
                    }
                }
                Step::Bom | Step::LateLf => {}
            }
        }
    }

    fn end_line(&mut self) {
        match self.field {
            Field::Data => self.data.push(b'\n'),
            Field::Event => std::mem::swap(&mut self.event, &mut self.value),
            Field::Id if !self.value.contains(&0) => std::mem::swap(&mut self.id, &mut self.value),
            Field::Retry if !self.value.is_empty() && self.value.iter().all(u8::is_ascii_digit) => {
                // More digits than a u64 holds are no time that a client could wait.
                if let Some(time) = std::str::from_utf8(&self.value).ok().and_then(|text| text.parse().ok()) {
                    self.retry = Some(time);
                    self.block_retry = Some(time);
                }
            }
            _ => {}
        }
        self.value.clear();
    }

    fn end_block(&mut self) -> Option<Event> {
        if self.last_event_id.as_bytes() != self.id {
            self.last_event_id = lossy(&self.id);
        }
        let retry = self.block_retry.take();
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        // No data line, no event: only an ID or a reconnection time.
        data.pop()?;
        Some(Event {
            event: if event.is_empty() { "message".to_owned() } else { lossy(&event) },
            data: lossy(&data),
            id: self.last_event_id.clone(),
            retry,
        })
    }
}

/// UTF-8 with U+FFFD for each maximal invalid part, as the WHATWG decoder does.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
