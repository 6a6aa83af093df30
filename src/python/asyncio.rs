//! What asyncio gives to those who run the steps of a task themselves.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// The parts of asyncio, looked up once.
pub(super) struct Asyncio {
    future: Py<PyAny>,
    pub(super) cancelled_error: Py<PyAny>,
    swap: Swap,
}

/// How another task is made the current one.
enum Swap {
    /// Python 3.12 and later.
    Function(Py<PyAny>),
    /// Python 3.11: what the function of later versions does.
    Table(Py<PyDict>),
}

impl Asyncio {
    pub(super) fn get(py: Python<'_>) -> PyResult<&'static Asyncio> {
        static ASYNCIO: PyOnceLock<Asyncio> = PyOnceLock::new();
        ASYNCIO.get_or_try_init(py, || {
            let module = py.import("asyncio")?;
            let tasks = module.getattr("tasks")?;
            let swap = match tasks.getattr_opt("_swap_current_task")? {
                Some(function) => Swap::Function(function.unbind()),
                None => Swap::Table(tasks.getattr("_current_tasks")?.cast_into::<PyDict>()?.unbind()),
            };
            Ok(Asyncio {
                future: module.getattr("Future")?.unbind(),
                cancelled_error: module.getattr("CancelledError")?.unbind(),
                swap,
            })
        })
    }

    /// Is it a future of asyncio's own, and no more than that?
    pub(super) fn is_future(&self, object: &Bound<'_, PyAny>) -> bool {
        object.get_type().is(&self.future)
    }

    /// A new one, with the message by which anyio knows its own cancels.
    pub(super) fn cancelled_error(&self, py: Python<'_>, msg: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        match msg {
            Some(msg) if !msg.is_none(py) => self.cancelled_error.call1(py, (msg,)),
            _ => self.cancelled_error.call0(py),
        }
    }

    /// Makes `task`, or None, the one that runs; the one before.
    pub(super) fn swap(&self, py: Python<'_>, event_loop: &Py<PyAny>, task: &Py<PyAny>) -> PyResult<Py<PyAny>> {
        match &self.swap {
            Swap::Function(swap) => swap.call1(py, (event_loop, task)),
            Swap::Table(table) => {
                let before = table.bind(py).get_item(event_loop)?.map_or_else(|| py.None(), Bound::unbind);
                self.restore(py, event_loop, task)?;
                Ok(before)
            }
        }
    }

    /// Makes `task`, or None, the one that runs again.
    pub(super) fn restore(&self, py: Python<'_>, event_loop: &Py<PyAny>, task: &Py<PyAny>) -> PyResult<()> {
        match &self.swap {
            Swap::Function(swap) => swap.call1(py, (event_loop, task)).map(drop),
            Swap::Table(table) if !task.is_none(py) => table.bind(py).set_item(event_loop, task),
            Swap::Table(table) => match table.bind(py).contains(event_loop)? {
                true => table.bind(py).del_item(event_loop),
                false => Ok(()),
            },
        }
    }
}
