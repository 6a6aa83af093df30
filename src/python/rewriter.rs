//! `Rewriter` and `Stats`.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyBytes, PyDict, PyType};

use crate::{Comments, EmptyBlocks, Error, Fed, OnInvalid, Options, Rewriter, Stats};

use super::convert::{busy, chunk, stream_error, values};
use super::rules::PyRules;

/// Bytes of an output buffer that a thread keeps.
const SCRATCH_KEPT: usize = 1 << 17;

#[pyclass(name = "Stats", module = "sse_fast", frozen, eq, get_all)]
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PyStats {
    events: u64,
    rewritten: u64,
    invalid: u64,
    dropped: u64,
    comments: u64,
    bytes_in: u64,
    bytes_out: u64,
    done: bool,
    truncated: bool,
    oversize: u64,
}

#[pymethods]
impl PyStats {
    fn __repr__(&self) -> String {
        let python = |value| if value { "True" } else { "False" };
        format!(
            "Stats(events={}, rewritten={}, invalid={}, dropped={}, comments={}, bytes_in={}, bytes_out={}, done={}, \
             truncated={}, oversize={})",
            self.events,
            self.rewritten,
            self.invalid,
            self.dropped,
            self.comments,
            self.bytes_in,
            self.bytes_out,
            python(self.done),
            python(self.truncated),
            self.oversize,
        )
    }
}

#[pyclass(name = "Rewriter", module = "sse_fast")]
pub(super) struct PyRewriter {
    rewriter: Rewriter,
    /// The error that ended the stream, to be raised again.
    failed: Option<Box<PyErr>>,
}

#[pymethods]
impl PyRewriter {
    #[new]
    #[pyo3(signature = (rules, *, max_held = 1_048_576, on_invalid = "pass", comments = "keep",
                        empty_blocks = "keep"))]
    fn new(
        rules: &Bound<'_, PyAny>,
        max_held: i64,
        on_invalid: &str,
        comments: &str,
        empty_blocks: &str,
    ) -> PyResult<Self> {
        let options = options(max_held, on_invalid, comments, empty_blocks)?;
        let rewriter = match rules.cast::<PyRules>() {
            Ok(rules) => Rewriter::new(&rules.get().0, options),
            Err(_) => Rewriter::new(&compile(rules)?.get().0, options),
        };
        Ok(PyRewriter { rewriter, failed: None })
    }

    fn feed<'py>(slf: &Bound<'py, Self>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let data = chunk(data)?;
        let mut this = slf.try_borrow_mut().map_err(|_| busy("Rewriter"))?;
        with_scratch(|out| match this.rewriter.feed(data.as_bytes(), out) {
            Ok(Fed::Unchanged) => Ok(data),
            Ok(Fed::Written) => Ok(PyBytes::new(slf.py(), out)),
            Err(error) => Err(this.fail(slf.py(), &error, out)),
        })
    }

    fn finish<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyBytes>> {
        let mut this = slf.try_borrow_mut().map_err(|_| busy("Rewriter"))?;
        with_scratch(|out| match this.rewriter.finish(out) {
            Ok(()) => Ok(PyBytes::new(slf.py(), out)),
            Err(error) => Err(this.fail(slf.py(), &error, out)),
        })
    }

    #[getter]
    fn captured<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        values(py, self.rewriter.captured())
    }

    #[getter]
    fn next_numbers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.rewriter.next_numbers().into_py_dict(py)
    }

    #[getter]
    fn stats(&self) -> PyStats {
        let Stats { events, rewritten, invalid, dropped, comments, bytes_in, bytes_out, done, truncated, oversize } =
            self.rewriter.stats();
        PyStats { events, rewritten, invalid, dropped, comments, bytes_in, bytes_out, done, truncated, oversize }
    }

    #[getter]
    fn last_event_id(&self) -> String {
        self.rewriter.last_event_id()
    }

    #[getter]
    fn at_boundary(&self) -> bool {
        self.rewriter.at_boundary()
    }
}

impl PyRewriter {
    /// The exception for an error: the first one again at every later call.
    fn fail(&mut self, py: Python<'_>, error: &Error, output: &[u8]) -> PyErr {
        if matches!(error, Error::Finished) {
            return stream_error(py, error, b"");
        }
        self.failed.get_or_insert_with(|| Box::new(stream_error(py, error, output))).clone_ref(py)
    }
}

/// Runs `act` with an empty buffer; the thread keeps it for the next call unless it has grown large.
fn with_scratch<T>(act: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    thread_local! {
        static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut out = SCRATCH.take();
    let result = act(&mut out);
    if out.capacity() <= SCRATCH_KEPT {
        out.clear();
        SCRATCH.set(out);
    }
    result
}

/// Compiles an iterable of rule objects.
fn compile<'py>(rules: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyRules>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let compiled = CLASS.import(rules.py(), "sse_fast.rules", "Rules")?.call1((rules,))?;
    Ok(compiled.cast_into::<PyRules>()?)
}

fn options(max_held: i64, on_invalid: &str, comments: &str, empty_blocks: &str) -> PyResult<Options> {
    let wrong = |message: String| Err(pyo3::exceptions::PyValueError::new_err(message));
    let max_held = match usize::try_from(max_held) {
        Ok(max_held) if max_held > 0 => max_held,
        _ => return wrong(format!("max_held is {max_held}: it must be at least 1 byte")),
    };
    let on_invalid = match on_invalid {
        "pass" => OnInvalid::Pass,
        "drop" => OnInvalid::Drop,
        "raise" => OnInvalid::Raise,
        other => return wrong(format!("on_invalid is '{other}': it must be 'pass', 'drop' or 'raise'")),
    };
    let comments = match comments {
        "keep" => Comments::Keep,
        "drop" => Comments::Drop,
        text if text.contains(['\n', '\r']) => {
            return wrong("comments holds a line break: a comment is one line".to_owned());
        }
        text => Comments::Replace(text.to_owned()),
    };
    let empty_blocks = match empty_blocks {
        "keep" => EmptyBlocks::Keep,
        "drop" => EmptyBlocks::Drop,
        other => return wrong(format!("empty_blocks is '{other}': it must be 'keep' or 'drop'")),
    };
    Ok(Options { max_held, on_invalid, comments, empty_blocks })
}
