//! Edits: which bytes of the input go and what comes in their place.

use crate::rules::compile::RuleId;
use crate::rules::rule::Choice;

/// The end of an edit whose last byte has not been seen.
pub(crate) const OPEN: u64 = u64::MAX;

/// A span of the stream and its fate. Edits stand in order of their start and do not overlap, except that a pending
/// one may still turn out to cover those after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edit {
    pub(crate) start: u64,
    /// The offset just past the span; while the edit is pending the offset at which it must be decided.
    pub(crate) end: u64,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Void: the bytes stay.
    Nothing,
    Drop,
    /// A rule's text in place of the span.
    Text(RuleId, Choice),
    /// `null`, where a removal came too late for its comma.
    Null,
    /// The number of the event.
    Number(RuleId),
    /// What a transform made, by index.
    Made(u32),
    /// A member, with a comma before it or not.
    Insert(RuleId, bool),
    /// Another name.
    Rename(RuleId),
    /// The span is to be given to this rule's function.
    Function(RuleId),
    /// The comment's text is replaced.
    Comment,
    /// The comment line goes.
    DropComment,
    /// A line break that keeps the one after it from completing a CRLF.
    Break,
    /// Pending: a value that must be seen whole.
    Undecided,
    /// Pending: a value that is observed.
    Watch,
    /// Pending: a name that changes if its object has none of the new name.
    MayRename,
}

impl Edit {
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.what, What::Undecided | What::Watch | What::MayRename)
    }

    /// Edits of whole lines are not part of the payload and stay whatever becomes of it.
    pub(crate) fn is_of_line(&self) -> bool {
        matches!(self.what, What::Comment | What::DropComment | What::Break)
    }
}
