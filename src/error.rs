//! What can go wrong, and where.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// A rule or a path that cannot be used; found at construction, never in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// What is wrong and what to do, in lower case, with the path and the offset where there is one.
    pub message: String,
    /// The path as given, where the mistake belongs to one.
    pub path: Option<String>,
    /// Where in the path, in characters.
    pub offset: Option<usize>,
}

impl RuleError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        RuleError { message: message.into(), path: None, offset: None }
    }

    pub(crate) fn at_path(path: &str, problem: impl fmt::Display) -> Self {
        RuleError { message: format!("path '{path}': {problem}"), path: Some(path.to_owned()), offset: None }
    }

    pub(crate) fn at_offset(path: &str, offset: usize, what: &str, why: &str) -> Self {
        RuleError {
            message: format!("path '{path}': {what} at offset {offset}{why}"),
            path: Some(path.to_owned()),
            offset: Some(offset),
        }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for RuleError {}

/// An error of a stream. The rewriter that gave it gives it again at every later call.
#[derive(Clone, Debug)]
pub enum Error {
    /// A payload that is not JSON, under [`OnInvalid::Raise`](crate::OnInvalid::Raise).
    InvalidEvent {
        /// Offset in the stream of the first byte that cannot be part of a JSON text.
        offset: u64,
    },
    /// The rewriter is finished.
    Finished,
    /// A transform's function failed.
    Transform(Arc<dyn StdError + Send + Sync>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidEvent { offset } => {
                write!(
                    f,
                    "the payload of an event is not JSON: unexpected byte or end at offset {offset} of the stream"
                )
            }
            Error::Finished => f.write_str("this rewriter is finished: make a new one for each stream"),
            Error::Transform(error) => write!(f, "a transform failed: {error}"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Transform(error) => Some(&**error),
            _ => None,
        }
    }
}
