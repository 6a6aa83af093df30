//! The event stream of WHATWG HTML (server-sent events): lines, fields, events. Knows no JSON.

pub(crate) mod event;
pub(crate) mod field;
pub(crate) mod line;
