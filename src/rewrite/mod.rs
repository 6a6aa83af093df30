//! Rewriting: one block after another, held in one place, spliced in one pass.

pub(crate) mod block;
pub(crate) mod body;
pub(crate) mod capture;
pub(crate) mod counter;
pub(crate) mod edit;
pub(crate) mod emit;
pub(crate) mod frame;
pub(crate) mod hold;
pub(crate) mod options;
pub(crate) mod overdue;
pub(crate) mod plan;
pub(crate) mod planner;
pub(crate) mod replay;
pub(crate) mod rewriter;
pub(crate) mod shape;
pub(crate) mod splice;
pub(crate) mod stream;
pub(crate) mod turn;
