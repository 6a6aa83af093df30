//! The fast way: an event that fits a learned shape is compared and spliced, never scanned.

use std::cell::RefCell;
use std::sync::Arc;

use crate::rules::compile::Compiled;

use super::edit::{Edit, What};
use super::emit::write_edit;
use super::shape::{Fit, Lesson, Shapes};
use super::splice::{Out, Raw};
use super::stream::{Stream, Work};
use super::turn::Turn;

thread_local! {
    static SHAPES: RefCell<Shapes> = const { RefCell::new(Shapes::new()) };
}

/// What this thread has learned under these rules. A thread that is ending knows nothing.
fn with_shapes<T>(rules: &Arc<Compiled>, act: impl FnOnce(&mut Shapes) -> T) -> Option<T> {
    let learned = |shapes: &RefCell<Shapes>| {
        let mut shapes = shapes.try_borrow_mut().ok()?;
        shapes.prepare(rules);
        Some(act(&mut shapes))
    };
    SHAPES.try_with(learned).ok().flatten()
}

/// Rewrites the events that stand between two blocks' end and the first that fits no learned shape.
#[inline]
pub(super) fn replay(stream: &mut Stream, raw: Raw<'_>, out: &mut Out<'_, '_>) {
    // A counter that waits for the first number must see it.
    if !stream.lines.is_fresh() || stream.counters.iter().any(|counter| counter.next.is_none()) {
        return;
    }
    let learned = |shapes: &RefCell<Shapes>| {
        let Ok(mut shapes) = shapes.try_borrow_mut() else { return };
        shapes.prepare(&stream.rules);
        while let Some(input) = raw.chunk.get((stream.pos - raw.chunk_at) as usize..).filter(|input| !input.is_empty())
        {
            match shapes.find(input) {
                Some(fit) if fit.length <= stream.options.max_held => replay_one(stream, &fit, input, out),
                _ => break,
            }
        }
    };
    // A thread that is ending knows nothing.
    let _ = SHAPES.try_with(learned);
}

#[inline]
fn replay_one(stream: &mut Stream, fit: &Fit<'_>, input: &[u8], out: &mut Out<'_, '_>) {
    let pos = stream.pos;
    let end = pos + fit.length as u64;
    for (capture, start, end) in fit.captures() {
        stream.captured.keep(&stream.rules, capture, pos + start, &input[start as usize..end as usize]);
    }
    if let Some((start, end)) = fit.id() {
        stream.last_event_id.clear();
        stream.last_event_id.extend_from_slice(&input[start as usize..end as usize]);
    }
    let mut mark = pos;
    for edit in fit.edits() {
        out.copy(mark, pos + edit.start);
        write_edit(edit.what, &stream.rules, &mut stream.counters, b"", &[], out);
        mark = pos + edit.end;
    }
    out.copy(mark, end);
    stream.counters.iter_mut().for_each(|counter| counter.current = None);
    stream.stats.events += 1;
    stream.stats.rewritten += u64::from(fit.is_rewritten());
    stream.lines = fit.lines();
    stream.dropped_last = false;
    stream.pos = end;
    stream.emitted = end;
}

impl Turn<'_, '_, '_> {
    /// Learns from an event that has left.
    pub(super) fn learn(&self, lesson: Lesson) {
        with_shapes(&self.stream.rules, |shapes| shapes.learn(lesson));
    }

    /// What there is to learn from an event that is about to leave, if it is plain and lies in one piece.
    pub(super) fn lesson(&self) -> Option<Lesson> {
        let Turn { stream, work: Work { plan, block, .. }, raw, .. } = self;
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
        if !plain || called || raw.chunk[..to].ends_with(b"\r") || !stream.lines.is_fresh() {
            return None;
        }
        with_shapes(&stream.rules, |shapes| shapes.wants(to - from)).filter(|wanted| *wanted)?;
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
