//! `Parser` and `Event`.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::{Event, Parser};

use super::convert::{busy, chunk, finished};

#[pyclass(name = "Event", module = "sse_fast", frozen, eq, hash, get_all)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct PyEvent {
    event: String,
    data: String,
    id: String,
    retry: Option<u64>,
}

#[pymethods]
impl PyEvent {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str, &'static str, &'static str) = ("event", "data", "id", "retry");

    #[new]
    #[pyo3(signature = (event = "message", data = "", id = "", retry = None))]
    fn new(event: &str, data: &str, id: &str, retry: Option<u64>) -> Self {
        PyEvent { event: event.to_owned(), data: data.to_owned(), id: id.to_owned(), retry }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let event = slf.get();
        let text = |value: &str| -> PyResult<String> { Ok(value.into_pyobject(py)?.repr()?.to_string()) };
        let retry = event.retry.map_or_else(|| "None".to_owned(), |retry| retry.to_string());
        let (name, data, id) = (text(&event.event)?, text(&event.data)?, text(&event.id)?);
        Ok(format!("Event(event={name}, data={data}, id={id}, retry={retry})"))
    }

    fn __getnewargs__(&self) -> (String, String, String, Option<u64>) {
        (self.event.clone(), self.data.clone(), self.id.clone(), self.retry)
    }
}

impl From<Event> for PyEvent {
    fn from(Event { event, data, id, retry }: Event) -> Self {
        PyEvent { event, data, id, retry }
    }
}

#[pyclass(name = "Parser", module = "sse_fast")]
pub(super) struct PyParser {
    parser: Parser,
    finished: bool,
}

#[pymethods]
impl PyParser {
    #[new]
    fn new() -> Self {
        PyParser { parser: Parser::new(), finished: false }
    }

    fn feed(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<Vec<PyEvent>> {
        let data: Bound<'_, PyBytes> = chunk(data)?;
        let mut parser = slf.try_borrow_mut().map_err(|_| busy("Parser"))?;
        if parser.finished {
            return Err(finished(slf.py(), "parser"));
        }
        let mut events = Vec::new();
        parser.parser.feed(data.as_bytes(), |event| events.push(event.into()));
        Ok(events)
    }

    /// The standard discards an event that has no blank line after it.
    fn finish(&mut self, py: Python<'_>) -> PyResult<Vec<PyEvent>> {
        if self.finished {
            return Err(finished(py, "parser"));
        }
        self.finished = true;
        Ok(Vec::new())
    }

    #[getter]
    fn last_event_id(&self) -> &str {
        self.parser.last_event_id()
    }

    #[getter]
    fn retry(&self) -> Option<u64> {
        self.parser.retry()
    }
}
