//! The fast way: an event that fits a learned shape is compared and spliced, never scanned.

use super::edit::{Edit, What};
use super::shape::Lesson;
use super::stream::{Work, parts};
use super::turn::Turn;

impl Turn<'_, '_> {
    /// Rewrites an event that fits a learned shape. False where none stands here.
    #[inline]
    pub(super) fn replay(&mut self) -> bool {
        let Turn { stream, work, shapes, raw, out } = self;
        let pos = stream.pos;
        // A counter that waits for the first number must see it.
        let waits = stream.counters.iter().any(|counter| counter.next.is_none());
        if work.block.start != pos || !stream.lines.is_fresh() || waits {
            return false;
        }
        let input = &raw.chunk[(pos - raw.chunk_at) as usize..];
        let Some(fit) = shapes.find(input) else { return false };
        if fit.length > stream.options.max_held {
            return false;
        }
        for (capture, start, end) in fit.captures() {
            let text = &input[start as usize..end as usize];
            stream.captured.keep(&stream.rules, capture, pos + start, text);
        }
        if let Some((start, end)) = fit.id() {
            stream.last_event_id.clear();
            stream.last_event_id.extend_from_slice(&input[start as usize..end as usize]);
        }
        stream.stats.events += 1;
        stream.lines = fit.lines();
        stream.pos = pos + fit.length as u64;
        stream.dropped_last = false;
        work.block.start_at(stream.pos);
        if fit.is_rewritten() {
            stream.stats.rewritten += 1;
            let mut mark = pos;
            let mut planner = parts(stream, work, *raw).0;
            for edit in fit.edits() {
                out.copy(mark, pos + edit.start);
                planner.write(edit.what, out);
                mark = pos + edit.end;
            }
            stream.counters.iter_mut().for_each(|counter| counter.current = None);
            out.copy(mark, stream.pos);
        } else {
            out.copy(pos, stream.pos);
        }
        stream.emitted = stream.pos;
        true
    }

    /// What there is to learn from an event that is about to leave, if it is plain and lies in one piece.
    pub(super) fn lesson(&mut self) -> Option<Lesson> {
        let Turn { stream, work: Work { plan, block, .. }, shapes, raw, .. } = self;
        let has_bom = block.first_line != block.start;
        let plain = plan.container
            && !has_bom
            && plan.is_simple()
            && !plan.streaming
            && !block.joined
            && !block.has_comment
            && (block.id_lines == 0 || block.id_lines == 1 && block.id.is_some() && block.id_span.is_some());
        let from = block.start.checked_sub(raw.chunk_at)? as usize;
        let to = (stream.pos - raw.chunk_at) as usize;
        let called = plan.edits.iter().any(|edit| matches!(edit.what, What::Function(_) | What::Made(_)));
        // A CR that ends the block may be half a CRLF next time.
        if !plain || called || raw.chunk[..to].ends_with(b"\r") || !stream.lines.is_fresh() || !shapes.wants(to - from)
        {
            return None;
        }
        let shift = |offset: u64| offset - block.start;
        let edits = plan.edits.iter().filter(|edit| edit.what != What::Nothing);
        Some(Lesson {
            block: raw.chunk[from..to].into(),
            payload: (shift(block.payload_start) as usize, shift(block.data_end) as usize),
            edits: edits.map(|edit| Edit { start: shift(edit.start), end: shift(edit.end), ..*edit }).collect(),
            captures: plan.captures.iter().map(|&(id, start, end)| (id, shift(start), shift(end))).collect(),
            id: block.id_span.map(|(start, end)| (shift(start), shift(end))),
            observed: plan.observed.iter().map(|&(start, end)| (shift(start), shift(end))).collect(),
            lines: stream.lines.clone(),
        })
    }
}
