//! An open container, as far as the rules care.

use crate::rules::compile::StateId;

/// No offset.
pub(super) const NONE: u64 = u64::MAX;

/// An open container, and the member or element in it that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) state: StateId,
    /// The state of the current value.
    pub(super) child: StateId,
    pub(super) object: bool,
    /// An earlier member or element survives.
    pub(super) kept: bool,
    /// The comma before the current value has left already.
    pub(super) released: bool,
    /// Its name has left already.
    pub(super) name_released: bool,
    /// The white space after the last value has left already.
    pub(super) space_released: bool,
    /// The current value is larger than may be held.
    pub(super) unseen: bool,
    /// The name being read is longer than all that matter.
    pub(super) long_name: bool,
    /// Index of the current element.
    pub(super) index: u64,
    pub(super) comma: u64,
    pub(super) name_start: u64,
    pub(super) name_end: u64,
    pub(super) value_start: u64,
    /// Where an insertion goes: after the last value, or after the bracket.
    pub(super) last_end: u64,
    /// The edit of the current value: pending, or the open one.
    pub(super) edit: Edits,
    /// The pending watch of the current value.
    pub(super) watch: Option<usize>,
    /// The removal that takes the comma after it.
    pub(super) removed: Option<usize>,
    /// Where this frame's bits begin in `seen`, its entries in `renames`.
    pub(super) seen_base: usize,
    /// Where its slots begin in `taken`.
    pub(super) taken_base: usize,
    pub(super) renames_base: usize,
}

/// What is to be done when the current value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edits {
    No,
    /// Decide the pending edit of this number.
    Pending(usize),
    /// End the plan's open edit; it is a removal or not.
    Open {
        removal: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Renaming {
    pub(super) edit: usize,
    /// The state of the member's value, which knows the rules.
    pub(super) child: StateId,
    pub(super) name_end: u64,
    /// Depth of the frame it belongs to.
    pub(super) frame: usize,
}

impl Frame {
    /// A container in `state`, just after its bracket.
    pub(super) fn new(state: StateId, child: StateId, object: bool, after: u64) -> Self {
        Frame {
            state,
            child,
            object,
            kept: false,
            released: false,
            name_released: false,
            space_released: false,
            unseen: false,
            long_name: false,
            index: 0,
            comma: 0,
            name_start: 0,
            name_end: 0,
            value_start: 0,
            last_end: after,
            edit: Edits::No,
            watch: None,
            removed: None,
            seen_base: 0,
            taken_base: 0,
            renames_base: 0,
        }
    }
}
