//! Rewrites JSON fields inside an LLM event stream while it passes through a gateway, and touches nothing else.
//!
//! What it is: an incremental parser of event streams (WHATWG HTML, server-sent events) and a rewriter of the JSON
//! payloads in them, sans-io: bytes in, bytes out. Where no rule matches, the output is the input, byte for byte; where one
//! matches, only its edit differs; how the input was cut never matters; an event leaves with the chunk that completes it;
//! what is held has a bound; time is linear.
//!
//! What it is not: a JSON parser that gives values, an HTTP client, a validator. It never decodes what it only copies.
//!
//! ```
//! use sse_fast::{Options, Path, Rewriter, Rule, Rules};
//!
//! let cost = Rule::Remove { path: Path::parse("$.usage.cost")?, when: None };
//! let mut rewriter = Rewriter::new(&Rules::new(vec![cost])?, Options::default());
//! let mut out = Vec::new();
//! rewriter.feed(b"id: 7\ndata: {\"usage\":{\"total\":9, \"cost\":6e-07}}\n\n", &mut out)?;
//! assert_eq!(out, b"id: 7\ndata: {\"usage\":{\"total\":9}}\n\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod json;
mod limits;
#[cfg(feature = "python")]
mod python;
mod rewrite;
mod rules;
mod sse;

// Errors and limits.
pub use error::{Error, RuleError};
pub use limits::{DEFAULT_MAX_HELD, MAX_CAPTURED, MAX_DEPTH};

// Reading an event stream.
pub use sse::event::{Event, Parser};

// Stating what to change.
pub use json::path::Path;
pub use json::value::Json;
pub use rules::compile::Rules;
pub use rules::rule::{Condition, Function, Keep, Rule};

// Changing it.
pub use rewrite::options::{Comments, EmptyBlocks, OnInvalid, Options, Stats};
pub use rewrite::rewriter::{Fed, Rewriter};
