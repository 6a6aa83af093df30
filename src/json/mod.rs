//! JSON texts (RFC 8259) in pieces: scanning, strings, comparing, paths (RFC 9535). Knows no event stream.

pub(crate) mod path;
pub(crate) mod scan;
pub(crate) mod string;
pub(crate) mod token;
pub(crate) mod value;
