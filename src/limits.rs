//! Every number that bounds something, with its reason and its precedents.

/// Bytes of one event held back by default: 1 MiB.
///
/// An event this large leaves whole; a larger one streams through. Recorded events reach 106 KB, images on one line
/// 1.3 to 4 MB. Precedents cap the *line* instead and fail: 64 KB (bufio scanners), 128 KiB (aiohttp), 1-2 MiB.
pub const DEFAULT_MAX_HELD: usize = 1 << 20;

/// Containers open at once before a payload counts as invalid. Precedents: serde_json 128, orjson 1,024.
pub const MAX_DEPTH: usize = 1024;

/// Values that a `Capture` with `keep = all` retains in one stream.
pub const MAX_CAPTURED: usize = 1000;

/// Bytes of a member name that are held until its fate is known, where no rule has a longer one. Only a wildcard
/// can select a longer name.
pub(crate) const NAME_HELD: usize = 1024;

/// White space around a comma or a colon that is always held, however small `max_held` is.
pub(crate) const SPACE_HELD: u64 = 64;

/// States of the path automaton. Only many descendant segments that share names can come near it.
pub(crate) const MAX_STATES: usize = 4096;

/// Bytes of the longest event that is learned: p99 of recorded events is 1.7 KB.
pub(crate) const MAX_SHAPE: usize = 4096;

/// Shapes that a thread knows at once: an API alternates between few.
pub(crate) const MAX_SHAPES: usize = 6;

/// Values in which the events of one shape may differ.
pub(crate) const MAX_HOLES: usize = 12;

/// Values that rules may look at in an event that is learned.
pub(crate) const MAX_OBSERVED: usize = 32;

/// Bytes that a buffer may keep for the next event once an event is through.
pub(crate) const IDLE_CAPACITY: usize = 128;

/// Bytes of edits beyond `max_held` before an event streams, so that a small `max_held` leaves room for some.
pub(crate) const EDIT_SLACK: usize = 1024;
