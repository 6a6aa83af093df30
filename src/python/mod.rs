//! The Python bindings: arguments and errors are mapped here, nothing else happens.

mod asyncio;
mod convert;
mod parser;
mod rewriter;
mod rules;
mod stepper;

/// The compiled half of the package `sse_fast`.
#[pyo3::pymodule]
mod _rust {
    #[pymodule_export]
    use super::parser::{PyEvent, PyParser};
    #[pymodule_export]
    use super::rewriter::{PyRewriter, PyStats};
    #[pymodule_export]
    use super::rules::{PyRules, check_path, check_rule};
    #[pymodule_export]
    use super::stepper::Stepper;
}
