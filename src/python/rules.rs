//! `Rules`, and the way from the package's rule objects to the crate's.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::{Condition, Fed, Function, Json, Keep, Path, Rule, RuleError, Rules};

use super::convert::{chunk, rule_error, stream_error, values};

/// Parses a path, so that a condition complains where it is made.
#[pyfunction]
pub(super) fn check_path(py: Python<'_>, path: &str) -> PyResult<()> {
    Path::parse(path).map(|_| ()).map_err(|error| rule_error(py, &error))
}

/// Checks what one rule shows by itself, so that it complains where it is made.
#[pyfunction]
pub(super) fn check_rule(py: Python<'_>, spec: &Bound<'_, PyTuple>) -> PyResult<()> {
    rule(spec)?.check().map_err(|error| rule_error(py, &error))
}

#[pyclass(name = "Rules", module = "sse_fast._rust", subclass, frozen)]
pub(super) struct PyRules(pub(super) Rules);

#[pymethods]
impl PyRules {
    /// Compiles what `Rule._spec` of each rule says: the operation, then its arguments, JSON values as bytes.
    #[new]
    fn new(py: Python<'_>, specs: Vec<Bound<'_, PyTuple>>) -> PyResult<Self> {
        let rules = specs.iter().map(rule).collect::<PyResult<Vec<_>>>()?;
        Rules::new(rules).map(PyRules).map_err(|error| rule_error(py, &error))
    }

    fn rewrite_json<'py>(&self, py: Python<'py>, body: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let body = chunk(body)?;
        let mut out = Vec::new();
        match self.0.rewrite_json(body.as_bytes(), &mut out) {
            Ok(Fed::Unchanged) => Ok(body),
            Ok(Fed::Written) => Ok(PyBytes::new(py, &out)),
            Err(error) => Err(stream_error(py, &error, b"")),
        }
    }

    fn read_json<'py>(&self, py: Python<'py>, body: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let body = chunk(body)?;
        values(py, self.0.read_json(body.as_bytes()))
    }
}

fn path(text: &Bound<'_, PyAny>) -> PyResult<Path> {
    Path::parse(text.extract::<&str>()?).map_err(|error| rule_error(text.py(), &error))
}

fn json(value: &Bound<'_, PyAny>) -> PyResult<Json> {
    let text = value.cast::<PyBytes>()?;
    let problem = || rule_error(value.py(), &RuleError::new("a value is not a JSON text"));
    Json::new(text.as_bytes()).ok_or_else(problem)
}

fn optional(value: &Bound<'_, PyAny>) -> PyResult<Option<Json>> {
    if value.is_none() { Ok(None) } else { json(value).map(Some) }
}

fn rule(spec: &Bound<'_, PyTuple>) -> PyResult<Rule> {
    let op = spec.get_item(0)?;
    let at = |i: usize| spec.get_item(i);
    Ok(match op.extract::<&str>()? {
        "replace" => Rule::Replace { path: path(&at(1)?)?, value: json(&at(2)?)?, when: optional(&at(3)?)? },
        "set" => Rule::Set { path: path(&at(1)?)?, value: json(&at(2)?)? },
        "default" => {
            Rule::Default { path: path(&at(1)?)?, value: json(&at(2)?)?, null_counts_as_missing: at(3)?.extract()? }
        }
        "remove" => Rule::Remove { path: path(&at(1)?)?, when: optional(&at(2)?)? },
        "rename" => Rule::Rename { path: path(&at(1)?)?, key: at(2)?.extract()? },
        "map" => {
            let pairs = at(2)?.extract::<Vec<(Bound<'_, PyAny>, Bound<'_, PyAny>)>>()?;
            let pairs = pairs.iter().map(|(old, new)| Ok((json(old)?, json(new)?))).collect::<PyResult<_>>()?;
            Rule::Map { path: path(&at(1)?)?, pairs, otherwise: optional(&at(3)?)? }
        }
        "transform" => Rule::Transform { path: path(&at(1)?)?, function: function(at(2)?.unbind()) },
        "renumber" => Rule::Renumber { path: path(&at(1)?)?, start: at(2)?.extract()? },
        "capture" => Rule::Capture {
            name: at(1)?.extract()?,
            path: path(&at(2)?)?,
            keep: match at(3)?.extract::<&str>()? {
                "first" => Keep::First,
                "all" => Keep::All,
                _ => Keep::Last,
            },
            null_counts_as_missing: at(4)?.extract()?,
        },
        _ => {
            let conditions = at(1)?.extract::<Vec<Bound<'_, PyTuple>>>()?;
            Rule::DropEvent { conditions: conditions.iter().map(condition).collect::<PyResult<_>>()? }
        }
    })
}

fn condition(spec: &Bound<'_, PyTuple>) -> PyResult<Condition> {
    let at = |i: usize| spec.get_item(i);
    Ok(match at(0)?.extract::<&str>()? {
        "equals" => Condition::Equals(path(&at(1)?)?, json(&at(2)?)?),
        "exists" => Condition::Exists(path(&at(1)?)?),
        "missing" => Condition::Missing(path(&at(1)?)?),
        _ => Condition::EventIs(at(1)?.extract()?),
    })
}

/// A Python callable that takes the JSON text of a value and returns the new text, or None where it stays.
fn function(callable: Py<PyAny>) -> Function {
    Arc::new(move |text| {
        Python::attach(|py| {
            let said = callable.call1(py, (PyBytes::new(py, text),));
            let text = said.and_then(|said| said.extract::<Option<Vec<u8>>>(py));
            text.map_err(|error| -> Arc<dyn std::error::Error + Send + Sync> { Arc::new(error) })
        })
    })
}
