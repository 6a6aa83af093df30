//! Buffers in, errors out.

use pyo3::exceptions::{PyBufferError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PyType};

use crate::{Error, Keep, RuleError};

/// The bytes of a `bytes` object as they are, of any other contiguous buffer as a copy.
pub(super) fn chunk<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    let view = PyMemoryView::from(data)?;
    if !view.getattr("contiguous")?.is_truthy()? {
        return Err(PyBufferError::new_err("the buffer is not contiguous: feed a copy of it, such as bytes(view)"));
    }
    Ok(view.call_method0("tobytes")?.cast_into::<PyBytes>()?)
}

/// Captured JSON texts as Python values, by name.
pub(super) fn values<'py, 'a, T: AsRef<[u8]>>(
    py: Python<'py>,
    captured: impl Iterator<Item = (&'a str, Keep, Vec<T>)>,
) -> PyResult<Bound<'py, PyDict>> {
    static DECODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let decode = DECODE.import(py, "sse_fast.rules", "decode")?;
    let by_name = PyDict::new(py);
    for (name, keep, texts) in captured {
        let values = texts.iter().map(|text| decode.call1((PyBytes::new(py, text.as_ref()),)));
        let values = values.collect::<PyResult<Vec<_>>>()?;
        match (keep, values.last()) {
            (Keep::All, _) => by_name.set_item(name, PyList::new(py, values)?)?,
            (_, value) => by_name.set_item(name, value)?,
        }
    }
    Ok(by_name)
}

pub(super) fn rule_error(py: Python<'_>, error: &RuleError) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let arguments = (&error.message, &error.path, error.offset);
    raise(CLASS.import(py, "sse_fast.errors", "RuleError").and_then(|class| class.call1(arguments)))
}

/// The exception for an error of a stream; `output` is what was complete before it.
pub(super) fn stream_error(py: Python<'_>, error: &Error, output: &[u8]) -> PyErr {
    static INVALID: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let output = PyBytes::new(py, output);
    let message = error.to_string();
    match error {
        Error::InvalidEvent { offset } => {
            let class = INVALID.import(py, "sse_fast.errors", "InvalidEventError");
            raise(class.and_then(|class| class.call1((message, *offset, output))))
        }
        Error::Finished => finished(py, "rewriter"),
        Error::Transform(cause) => match cause.downcast_ref::<PyErr>() {
            Some(raised) => {
                // The function's own exception goes on as it is. One without room for attributes has no `output`.
                let _ = raised.value(py).setattr("output", output);
                raised.clone_ref(py)
            }
            None => PyRuntimeError::new_err(message),
        },
    }
}

/// The error of a call after `finish`.
pub(super) fn finished(py: Python<'_>, kind: &str) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let message = format!("this {kind} is finished: make a new one for each stream");
    raise(CLASS.import(py, "sse_fast.errors", "FinishedError").and_then(|class| class.call1((message,))))
}

/// The exception that was made, or the error that making it raised.
fn raise(made: PyResult<Bound<'_, PyAny>>) -> PyErr {
    made.map_or_else(|error| error, PyErr::from_value)
}

/// The error of a call into an object that is at work.
pub(super) fn busy(kind: &str) -> PyErr {
    PyRuntimeError::new_err(format!(
        "this {kind} is at work in another thread or further up in this one: a {kind} serves one stream, one call at a time"
    ))
}
