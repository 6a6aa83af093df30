//! What the rewriter should give, worked out the slow and obvious way: the whole stream at once, one pass for each
//! question, nothing shared with the crate but the types of its interface.
//!
//! It holds for events within `max_held`, and for functions of `Transform` that never fail.

pub(crate) mod edits;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod path;
mod payload;

use std::collections::BTreeMap;
use std::ops::Range;

use sse_fast::{Comments, Condition, EmptyBlocks, Keep, MAX_CAPTURED, OnInvalid, Options, Rule, Stats};

use edits::{Counter, Payload};
use lines::Line;
use payload::{Content, Joined};

/// What a stream should become.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Each part that leaves at once: where in the input it is complete, and the bytes.
    pub(crate) parts: Vec<(usize, Vec<u8>)>,
    /// What `finish` gives.
    pub(crate) rest: Vec<u8>,
    /// Where the output is at a boundary after `finish`.
    pub(crate) at_boundary: bool,
    pub(crate) stats: Stats,
    pub(crate) captured: BTreeMap<String, Vec<Vec<u8>>>,
    /// The path and the next number of each counter that has begun.
    pub(crate) next_numbers: Vec<(String, i64)>,
    pub(crate) last_event_id: String,
    /// Under `OnInvalid::Raise`: the offset, and how much of the input it takes to know.
    pub(crate) error: Option<(u64, usize)>,
}

impl Expected {
    /// All output.
    pub(crate) fn output(&self) -> Vec<u8> {
        let mut output: Vec<u8> = self.parts.iter().flat_map(|(_, bytes)| bytes).copied().collect();
        output.extend(&self.rest);
        output
    }
}

/// Rewrites a whole stream.
pub(crate) fn rewrite(rules: &[Rule], options: &Options, stream: &[u8]) -> Expected {
    let lines = lines::lines(stream);
    let counters = rules.iter().map(Counter::of).collect();
    let mut oracle = Oracle { rules, options, stream, counters, expected: Expected::default() };
    for rule in rules {
        if let Rule::Capture { name, .. } = rule {
            oracle.expected.captured.insert(name.clone(), Vec::new());
        }
    }
    oracle.tell_numbers();
    oracle.expected.stats.bytes_in = stream.len() as u64;
    oracle.expected.at_boundary = true;
    // A BOM belongs to no block: it leaves with the first.
    let mut pending = stream[..lines::bom(stream)].to_vec();
    for block in lines::blocks(&lines) {
        let last = block.last().expect("no empty block");
        if last.is_blank() {
            let Ok(output) = oracle.block(block) else { return oracle.expected };
            let dropped = output.is_empty();
            pending.extend(output);
            // A block is whole with the CR; the LF that follows comes behind.
            let late = if last.ending(stream) == b"\r\n" { 1 } else { 0 };
            let behind = if dropped { Vec::new() } else { pending.split_off(pending.len() - late) };
            oracle.expected.parts.push((last.end - late, std::mem::take(&mut pending)));
            oracle.expected.parts.push((last.end, behind));
        } else {
            let Ok(output) = oracle.last_block(block, &lines) else { return oracle.expected };
            pending.extend(output);
        }
    }
    let mut expected = oracle.expected;
    expected.rest = pending;
    expected.stats.bytes_out = expected.output().len() as u64;
    expected
}

/// Rewrites a body that is one JSON text; no rule drops it.
pub(crate) fn rewrite_body(rules: &[Rule], text: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    let mut from = 0;
    if let Some(tree) = json::parse(text).ok().filter(|tree| tree[0].kind.is_container()) {
        let mut counters: Vec<_> = rules.iter().map(Counter::of).collect();
        let payload = Payload::new(text, tree, rules);
        payload.start_counters(&mut counters);
        for edit in payload.edits(&mut counters) {
            output.extend(&text[from..edit.at.start]);
            output.extend(edit.text);
            from = edit.at.end;
        }
    }
    output.extend(&text[from..]);
    output
}

struct Oracle<'a> {
    rules: &'a [Rule],
    options: &'a Options,
    stream: &'a [u8],
    counters: Vec<Counter>,
    expected: Expected,
}

/// The stream ends with an error.
struct Failed;

impl Oracle<'_> {
    /// What a whole block becomes; nothing where it is dropped.
    fn block(&mut self, block: &[Line]) -> Result<Vec<u8>, Failed> {
        let stream = self.stream;
        let fields: Vec<(&[u8], &Line)> = block.iter().filter_map(|line| Some((line.field(stream)?, line))).collect();
        let joined = Joined::new(stream, block);
        let has_data = fields.iter().any(|(name, _)| *name == b"data");
        let comments = block.iter().filter(|line| line.is_comment()).count();
        let stats = &mut self.expected.stats;
        stats.events += u64::from(has_data);
        stats.comments += comments as u64;
        if let Some((_, line)) =
            fields.iter().rfind(|(name, line)| *name == b"id" && !stream[line.value.clone()].contains(&0))
        {
            self.expected.last_event_id = String::from_utf8_lossy(&stream[line.value.clone()]).into_owned();
        }
        let event_type =
            fields.iter().rfind(|(name, _)| *name == b"event").map(|(_, line)| &stream[line.value.clone()]);
        let event_type = match event_type {
            Some(b"") | None if has_data => b"message",
            Some(b"") | None => &b""[..],
            Some(name) => name,
        };

        let content = joined.content(has_data);
        let mut dropped = self.options.empty_blocks == EmptyBlocks::Drop && joined.text.is_empty();
        let mut payload_edits = Vec::new();
        let mut payload = None;
        match content {
            Content::None | Content::Scalar(_) => {}
            Content::Done => stats.done = true,
            Content::Tree(tree) => payload = Some(Payload::new(&joined.text, tree, self.rules)),
            Content::Other(at) => {
                stats.invalid += 1;
                match self.options.on_invalid {
                    OnInvalid::Pass => {}
                    OnInvalid::Drop => dropped = true,
                    OnInvalid::Raise => {
                        let seen = block.last().expect("no empty block").end;
                        self.expected.error = Some((joined.offset(at) as u64, seen));
                        return Err(Failed);
                    }
                }
            }
        }
        for rule in self.rules {
            if let Rule::DropEvent { conditions } = rule {
                dropped |= conditions.iter().all(|condition| match condition {
                    Condition::EventIs(name) => name.as_bytes() == event_type,
                    on_path => payload.as_ref().is_some_and(|payload| payload.holds(on_path)),
                });
            }
        }
        if let Some(payload) = payload {
            self.capture(&payload);
            payload.start_counters(&mut self.counters);
            if !dropped {
                payload_edits = payload.edits(&mut self.counters);
            }
            self.tell_numbers();
        }
        let stats = &mut self.expected.stats;
        stats.dropped += u64::from(dropped);
        let only_comments = comments > 0 && fields.is_empty();
        if dropped || (only_comments && self.options.comments == Comments::Drop) {
            return Ok(Vec::new());
        }
        stats.rewritten += u64::from(!payload_edits.is_empty());
        let mut edits = self.comment_edits(block);
        for edit in payload_edits {
            edits.extend(joined.place(edit));
        }
        Ok(splice(stream, block, edits))
    }

    fn tell_numbers(&mut self) {
        let begun = self.rules.iter().zip(&self.counters).filter_map(|(rule, counter)| match rule {
            Rule::Renumber { path, .. } => Some((path.to_string(), counter.next?)),
            _ => None,
        });
        self.expected.next_numbers = begun.collect();
    }

    /// What `finish` makes of the block that has no blank line.
    fn last_block(&mut self, block: &[Line], lines: &[Line]) -> Result<Vec<u8>, Failed> {
        let stream = self.stream;
        let joined = Joined::new(stream, block);
        let data_line = block.iter().rfind(|line| line.field(stream) == Some(b"data"));
        let is_line_ended = data_line.is_some_and(Line::is_ended);
        // A last line that is no more than this may be a further line of the payload.
        let is_open = block.last().is_some_and(|line| !line.is_ended() && stream[line.start..] == *b"data");
        let content = joined.content(data_line.is_some());
        let whole = match content {
            Content::None => false,
            Content::Done | Content::Tree(_) => true,
            Content::Scalar(may_go_on) => is_line_ended || !may_go_on,
            Content::Other(at) if at == joined.text.len() && !joined.is_space() => false,
            Content::Other(_) => is_line_ended && !is_open,
        };
        if !whole {
            self.expected.stats.comments += block.iter().filter(|line| line.is_comment()).count() as u64;
            self.expected.stats.truncated = data_line.is_some();
            let output = splice(stream, block, self.comment_edits(block));
            self.expected.at_boundary = output.is_empty();
            return Ok(output);
        }
        let mut output = self.block(block)?;
        if !output.is_empty() {
            // A comment that goes leaves no line to end.
            let is_dropped = |line: &&Line| line.is_comment() && self.options.comments == Comments::Drop;
            let open = lines.last().filter(|line| !line.is_ended() && !is_dropped(line));
            let closing = closing(stream, lines, open.is_some());
            if self.options.comments == Comments::Drop && self.is_cr_bared(block) && closing.starts_with(b"\n") {
                output.push(b'\n');
            }
            output.extend(closing);
        }
        Ok(output)
    }

    /// Whether nothing but comments follows, before the blank line, a line that ends in a lone CR.
    fn is_cr_bared(&self, block: &[Line]) -> bool {
        let lines = block.iter().filter(|line| !line.is_blank());
        let comments = lines.clone().rev().take_while(|line| line.is_comment()).count();
        let other = lines.rev().nth(comments);
        comments > 0 && other.is_some_and(|line| line.ending(self.stream) == b"\r")
    }

    fn capture(&mut self, payload: &Payload<'_>) {
        for (i, rule) in self.rules.iter().enumerate() {
            let Rule::Capture { name, keep, null_counts_as_missing, .. } = rule else { continue };
            let texts = self.expected.captured.get_mut(name).expect("every capture has its list");
            texts.extend(payload.captures(i));
            texts.retain(|text| !(*null_counts_as_missing && text == b"null"));
            match keep {
                Keep::Last => texts.drain(..texts.len().saturating_sub(1)).for_each(drop),
                Keep::First => texts.truncate(1),
                Keep::All => texts.truncate(MAX_CAPTURED),
            }
        }
    }

    fn comment_edits(&self, block: &[Line]) -> Vec<(Range<usize>, Vec<u8>)> {
        let comments = block.iter().filter(|line| line.is_comment());
        match &self.options.comments {
            Comments::Keep => Vec::new(),
            Comments::Drop => {
                let mut edits: Vec<_> = comments.map(|line| (line.start..line.end, Vec::new())).collect();
                // A CR and an LF that only a comment kept apart must not become one line ending.
                let is_blank_lf = |line: &&Line| line.is_blank() && line.ending(self.stream) == b"\n";
                if let Some(blank) = block.last().filter(is_blank_lf).filter(|_| self.is_cr_bared(block)) {
                    edits.push((blank.start..blank.start, b"\n".to_vec()));
                }
                edits
            }
            Comments::Replace(text) => comments.map(|line| (line.value.clone(), text.clone().into())).collect(),
        }
    }
}

/// The ending that `finish` adds: a line ending for the last line if it has none, and a blank line.
fn closing(stream: &[u8], lines: &[Line], is_open: bool) -> Vec<u8> {
    let mut endings = lines.iter().rev().map(|line| line.ending(stream)).filter(|ending| !ending.is_empty());
    let last = endings.next().unwrap_or(b"\n");
    let before = endings.next();
    let is_last_line_ended = lines.last().is_some_and(Line::is_ended);
    match (last, before) {
        _ if is_open => last.repeat(2),
        // The CR may be half of a CRLF.
        (b"\r", Some(b"\r\n")) if is_last_line_ended => b"\n\r\n".to_vec(),
        _ => last.to_vec(),
    }
}

/// Replaces parts of a block.
fn splice(stream: &[u8], block: &[Line], mut edits: Vec<(Range<usize>, Vec<u8>)>) -> Vec<u8> {
    edits.sort_by_key(|(at, _)| (at.start, at.end));
    let mut output = Vec::new();
    let mut from = block[0].start;
    for (at, text) in edits {
        assert!(at.start >= from, "edits overlap");
        output.extend(&stream[from..at.start]);
        output.extend(text);
        from = at.end;
    }
    output.extend(&stream[from..block[block.len() - 1].end]);
    output
}
