//! Rules: what to change, and the automaton that finds where.

pub(crate) mod compile;
pub(crate) mod rule;
