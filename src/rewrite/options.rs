//! Policies and counts of one stream.

use crate::limits::DEFAULT_MAX_HELD;

/// What becomes of an event whose payload is neither JSON nor `[DONE]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInvalid {
    /// It passes unchanged.
    #[default]
    Pass,
    /// It is dropped.
    Drop,
    /// The stream ends with [`Error::InvalidEvent`].
    Raise,
}

/// What becomes of comments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Comments {
    /// They pass.
    #[default]
    Keep,
    /// Their lines go; a block of comments alone goes whole.
    Drop,
    /// Each gets this text, which holds no line break.
    Replace(String),
}

impl Comments {
    /// The text in place of each comment's own.
    pub(crate) fn text(&self) -> &[u8] {
        match self {
            Comments::Replace(text) => text.as_bytes(),
            _ => b"",
        }
    }
}

/// What becomes of blocks without data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyBlocks {
    /// They pass.
    #[default]
    Keep,
    /// They go whole.
    Drop,
}

/// The policies of one stream. The default changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of one event that may be held, at least 1; a larger event streams through.
    pub max_held: usize,
    /// For payloads that are not JSON.
    pub on_invalid: OnInvalid,
    /// For comments.
    pub comments: Comments,
    /// For blocks without data.
    pub empty_blocks: EmptyBlocks,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_held: DEFAULT_MAX_HELD,
            on_invalid: OnInvalid::Pass,
            comments: Comments::Keep,
            empty_blocks: EmptyBlocks::Keep,
        }
    }
}

/// Counts of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blocks with a data line.
    pub events: u64,
    /// Events that left with an edit.
    pub rewritten: u64,
    /// Events whose payload is neither JSON nor `[DONE]`.
    pub invalid: u64,
    /// Blocks dropped by `DropEvent` or by a policy (comments that a policy drops apart).
    pub dropped: u64,
    /// Comment lines seen.
    pub comments: u64,
    /// Bytes fed.
    pub bytes_in: u64,
    /// Bytes returned.
    pub bytes_out: u64,
    /// A `[DONE]` was seen.
    pub done: bool,
    /// The stream ended in the middle of an event.
    pub truncated: bool,
    /// Values too large to be looked at.
    pub oversize: u64,
}
