//! `Stepper`: whoever waits for an async iterator runs its steps, in the name of one task.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyException, PyGeneratorExit, PyRuntimeError, PyStopAsyncIteration, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::iterator::PySendResult;
use pyo3::types::{IntoPyDict, PyIterator, PyType};
use pyo3::{PyTraverseError, PyVisit, intern};

use super::asyncio::Asyncio;

/// Reads `source`, an async iterator, for whoever awaits this object, in the name of `task`.
///
/// A read that belongs to another task than the one that waits for it costs two turns of the loop, 1 to 2 us each: one to
/// ask, one to be told. Here the task that waits runs the read's steps itself, as `asyncio.Task` would, and says that it
/// is `task` meanwhile: `asyncio.current_task`, timeouts and cancel scopes inside the source see no other. Thus a wait
/// can be left, and the read goes on; what it brings is kept for the next to wait.
///
/// What the read waits for goes to the task that waits as it is, so that a chunk costs no more than without all this.
/// Only where that task is to be woken by something else (`interrupt`, `end`, a cancel of the read) is its callback taken
/// from that future, and the stepper stands in: for the task it is a future then, as anything is that behaves like one
/// (`_asyncio_future_blocking`; Python's documentation, "Extending asyncio"). With `survives`, where a read has to
/// outlive a cancel of the task that waits, it stands in from the start.
#[pyclass(module = "sse_fast._rust")]
pub(super) struct Stepper {
    #[pyo3(get, set)]
    _asyncio_future_blocking: bool,
    #[pyo3(get)]
    _loop: Option<Py<PyAny>>,
    /// `__anext__` of the source.
    begin: Option<Py<PyAny>>,
    #[pyo3(get, set)]
    task: Option<Py<PyAny>>,
    /// Called where a read ends and nobody waits.
    unclaimed: Option<Py<PyAny>>,
    survives: bool,
    read: Option<Read>,
    outcome: Option<Outcome>,
    item: Option<Py<PyAny>>,
    ended: bool,
    /// What the next step begins with.
    failure: Option<Py<PyAny>>,
    /// A cancel that the read has not been told of, with its message.
    cancel: Option<Py<PyAny>>,
    wait: Option<Wait>,
    /// What the task that waits wakes to, where it was cancelled; and whether it has.
    cancelled: Option<Py<PyAny>>,
    woke_cancelled: bool,
    /// When the wait that goes on began: one may take many steps.
    since: Option<Instant>,
    /// Of the waits that are over.
    waited: Duration,
    /// The task that shared a wait last, and how many cancels it had taken before.
    sharer: Option<Py<PyAny>>,
    cancelling: usize,
}

/// A read that is under way: what `__anext__` gave.
struct Read {
    steps: Py<PyIterator>,
    state: State,
    /// The future that it waits for; None for the loop's next turn.
    waits_for: Option<Py<PyAny>>,
}

enum State {
    /// A step may be run.
    Ready,
    /// The task that runs the steps waits for the same future.
    Shared { task: Py<PyAny> },
    /// Nobody has been told yet when it can go on.
    Suspended,
    /// The loop will call this stepper, in this context.
    Called { context: Option<Py<PyAny>> },
}

/// What a read came to.
enum Outcome {
    Item(Py<PyAny>),
    Over,
    /// An exception. It holds frames, and so, it may be, this very stepper: the collector has to see it.
    Error(Py<PyAny>),
}

/// A task that waits for the stepper.
struct Wait {
    wake: Py<PyAny>,
    context: Py<PyAny>,
}

thread_local! {
    /// How many steps run inside of each other: of streams that are read by streams.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

#[pymethods]
impl Stepper {
    #[new]
    #[pyo3(signature = (source, unclaimed, *, survives = false))]
    fn new(source: Py<PyAny>, unclaimed: Py<PyAny>, survives: bool, py: Python<'_>) -> PyResult<Self> {
        let event_loop = py.import("asyncio")?.call_method0("get_running_loop")?.unbind();
        Ok(Stepper {
            _asyncio_future_blocking: false,
            _loop: Some(event_loop),
            begin: Some(source.getattr(py, "__anext__")?),
            task: None,
            unclaimed: Some(unclaimed),
            survives,
            read: None,
            outcome: None,
            item: None,
            ended: false,
            failure: None,
            cancel: None,
            wait: None,
            cancelled: None,
            woke_cancelled: false,
            since: None,
            waited: Duration::ZERO,
            sharer: None,
            cancelling: 0,
        })
    }

    fn take(&mut self) -> Option<Py<PyAny>> {
        self.item.take()
    }

    /// A read is under way.
    #[getter]
    fn is_reading(&self) -> bool {
        self.read.is_some()
    }

    /// A read has ended, and nobody has taken what it came to.
    #[getter]
    fn is_full(&self) -> bool {
        self.outcome.is_some()
    }

    /// A task waits.
    #[getter]
    fn is_awaited(&self) -> bool {
        self.since.is_some()
    }

    /// How long the task that waits has waited, in seconds; 0 where none does.
    #[getter]
    fn waiting(&self) -> f64 {
        self.now_waiting().as_secs_f64()
    }

    /// How long tasks have waited in all, in seconds.
    #[getter]
    fn waited(&self) -> f64 {
        (self.waited + self.now_waiting()).as_secs_f64()
    }

    /// Give the task that waits an item while the read goes on; whether there was one to take it. For the loop to call.
    fn interrupt(slf: &Bound<'_, Self>, item: Py<PyAny>) -> PyResult<bool> {
        Stepper::stand_in(slf, false)?;
        let mut this = slf.borrow_mut();
        let is_shared = this.read.as_ref().is_some_and(|read| matches!(read.state, State::Shared { .. }));
        if is_shared || this.since.is_none() || this.outcome.is_some() || this.ended || this.cancelled.is_some() {
            return Ok(false);
        }
        this.outcome = Some(Outcome::Item(item));
        // Where it does not wait for the stepper the task is about to run, and takes the item then.
        let Some(wait) = this.wait.take() else { return Ok(true) };
        drop(this);
        wait.wake(slf, None)?;
        Ok(true)
    }

    /// Begin no read any more: who waits, now or later, gets None.
    fn end(slf: &Bound<'_, Self>) -> PyResult<()> {
        Stepper::stand_in(slf, true)?;
        let mut this = slf.borrow_mut();
        this.ended = true;
        this.outcome = None;
        let Some(wait) = this.wait.take() else { return Ok(()) };
        drop(this);
        Stepper::call_soon(slf, wait.wake.bind(slf.py()), slf.as_any(), Some(wait.context))
    }

    /// Cancel the read that is under way, if one is, as `asyncio.Task.cancel` does; whether one is.
    #[pyo3(signature = (msg = None))]
    fn cancel_read(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        Stepper::stand_in(slf, true)?;
        let py = slf.py();
        let mut this = slf.borrow_mut();
        let Some(read) = &this.read else { return Ok(false) };
        let waits_for = read.waits_for.as_ref().map(|future| future.clone_ref(py));
        this.cancel = Some(msg.unwrap_or_else(|| py.None()));
        drop(this);
        if let Some(future) = waits_for {
            Stepper::cancel_future(slf, future.bind(py))?;
        }
        Ok(true)
    }

    /// The loop calls: what the read waited for is there.
    fn __call__(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let mut this = slf.borrow_mut();
        let Some(read) = &mut this.read else { return Ok(()) };
        let is_this = match &read.waits_for {
            Some(awaited) => awaited.is(future),
            None => future.is_none(),
        };
        let context = match &mut read.state {
            State::Called { context } if is_this => context.take(),
            _ => return Ok(()),
        };
        read.state = State::Ready;
        read.waits_for = None;
        drop(this);

        // A step raises the error of asyncio's own futures by itself, unless it raises a cancel.
        let is_cancelled = slf.borrow().cancel.is_some();
        let error = if future.is_none() || (Asyncio::get(py)?.is_future(future) && !is_cancelled) {
            None
        } else {
            future.call_method0(intern!(py, "result")).err()
        };
        if error.is_none() {
            let wait = slf.borrow_mut().wait.take();
            if let Some(wait) = wait {
                wait.wake(slf, context.as_ref())?;
                // A task that was cancelled has not run the step that it was woken for.
                if !slf.borrow().read.as_ref().is_some_and(|read| matches!(read.state, State::Ready)) {
                    return Ok(());
                }
            }
        }
        let Some(outcome) = Stepper::step(slf, error, false)? else { return Stepper::be_called(slf, context) };
        let fatal = outcome.fatal(py)?;
        let mut this = slf.borrow_mut();
        if !this.ended {
            this.outcome = Some(outcome);
        }
        if let Some(wait) = this.wait.take() {
            drop(this);
            return wait.wake(slf, context.as_ref());
        }
        let unclaimed = this.unclaimed.as_ref().map(|unclaimed| unclaimed.clone_ref(py));
        drop(this);
        if let Some(unclaimed) = unclaimed {
            unclaimed.call0(py)?;
        }
        fatal.map_or(Ok(()), Err)
    }

    // An iterator as `await` takes it: what to wait for, as long as there is something, then the item; None at the end.

    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut this = slf.borrow_mut();
        this.woke_cancelled = false;
        this.end_shared_wait();
        drop(this);
        Stepper::go_on(slf)
    }

    /// What the task waited for has failed, or the task was cancelled. The one is the read's, the other is not.
    #[pyo3(signature = (kind, value = None, traceback = None, /))]
    fn throw<'py>(
        slf: &Bound<'py, Self>,
        kind: Bound<'py, PyAny>,
        value: Option<Bound<'py, PyAny>>,
        traceback: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = traceback; // It is the value's.
        let py = slf.py();
        let error = match value {
            Some(value) if kind.is_instance_of::<PyType>() => PyErr::from_value(value),
            _ => PyErr::from_value(kind),
        };
        if !Stepper::is_of_the_read(slf, &error)? {
            slf.borrow_mut().stop_clock();
            return Err(error);
        }
        // The next step finds the error in the future. Where that is not done asyncio has refused to wait for it.
        let waits_for = match &slf.borrow().read {
            Some(Read { state: State::Shared { .. }, waits_for: Some(future), .. }) => Some(future.clone_ref(py)),
            _ => None,
        };
        if let Some(future) = waits_for
            && !future.call_method0(py, intern!(py, "done"))?.is_truthy(py)?
        {
            slf.borrow_mut().failure = Some(error.into_value(py).into_any());
        }
        slf.borrow_mut().end_shared_wait();
        Stepper::go_on(slf)?.ok_or_else(|| PyStopIteration::new_err(py.None()))
    }

    // What a task asks of a future.

    #[pyo3(signature = (wake, /, *, context))]
    fn add_done_callback(slf: &Bound<'_, Self>, wake: Py<PyAny>, context: Py<PyAny>) -> PyResult<()> {
        let mut this = slf.borrow_mut();
        this.wait = Some(Wait { wake, context: context.clone_ref(slf.py()) });
        let is_called = !this.read.as_ref().is_some_and(|read| matches!(read.state, State::Suspended));
        drop(this);
        if is_called { Ok(()) } else { Stepper::be_called(slf, Some(context)) }
    }

    /// Wake the task with `CancelledError`, through the loop as a future does. The read goes on.
    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let mut this = slf.borrow_mut();
        let Some(wait) = this.wait.take() else { return Ok(false) };
        this.cancelled = Some(Asyncio::get(py)?.cancelled_error(py, msg)?);
        drop(this);
        Stepper::call_soon(slf, wait.wake.bind(py), slf.as_any(), Some(wait.context))?;
        Ok(true)
    }

    /// Raises where the task was cancelled; `await` gives the items.
    fn result(&mut self, py: Python<'_>) -> PyResult<()> {
        let Some(error) = self.cancelled.take() else { return Ok(()) };
        self.woke_cancelled = true;
        Err(PyErr::from_value(error.into_bound(py)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let own = [&self._loop, &self.begin, &self.task, &self.unclaimed, &self.sharer, &self.item];
        for object in own.into_iter().chain([&self.failure, &self.cancel, &self.cancelled]) {
            visit.call(object)?;
        }
        if let Some(read) = &self.read {
            visit.call(&read.steps)?;
            visit.call(&read.waits_for)?;
            match &read.state {
                State::Shared { task } => visit.call(task)?,
                State::Called { context } => visit.call(context)?,
                State::Ready | State::Suspended => {}
            }
        }
        if let Some(Outcome::Item(object) | Outcome::Error(object)) = &self.outcome {
            visit.call(object)?;
        }
        if let Some(wait) = &self.wait {
            visit.call(&wait.wake)?;
            visit.call(&wait.context)?;
        }
        Ok(())
    }

    fn __clear__(&mut self) {
        for object in [&mut self._loop, &mut self.begin, &mut self.task, &mut self.unclaimed, &mut self.sharer] {
            *object = None;
        }
        self.read = None;
        self.outcome = None;
        self.item = None;
        self.wait = None;
        self.failure = None;
        self.cancel = None;
        self.cancelled = None;
    }
}

impl Stepper {
    fn now_waiting(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// A wait is over.
    fn stop_clock(&mut self) {
        self.waited += self.now_waiting();
        self.since = None;
    }

    /// Whether an error that the task woke to is that of what the read waits for, and no cancel of the task.
    fn is_of_the_read(slf: &Bound<'_, Self>, error: &PyErr) -> PyResult<bool> {
        let py = slf.py();
        let mut this = slf.borrow_mut();
        if std::mem::take(&mut this.woke_cancelled) || this.read.as_ref().is_none_or(|read| read.waits_for.is_none()) {
            return Ok(false);
        }
        if !error.is_instance(py, Asyncio::get(py)?.cancelled_error.bind(py)) {
            return Ok(true);
        }
        let Some(task) = this.sharer.as_ref().map(|task| task.clone_ref(py)) else { return Ok(false) };
        let cancelling = this.cancelling;
        drop(this);
        Ok(task.call_method0(py, "cancelling")?.extract::<usize>(py)? <= cancelling)
    }

    /// Gives what is there, or runs a step; what to wait for, or None where the wait is over.
    fn go_on<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let mut this = slf.borrow_mut();
        let mut outcome = this.outcome.take();
        if this.ended {
            this.stop_clock();
            return Ok(None);
        }
        let is_ready = this.read.as_ref().is_none_or(|read| matches!(read.state, State::Ready));
        if outcome.is_none() && is_ready {
            drop(this);
            outcome = Stepper::step(slf, None, true)?;
            this = slf.borrow_mut();
        }
        if outcome.is_some() {
            this.stop_clock();
        } else if this.since.is_none() {
            this.since = Some(Instant::now());
        }
        match outcome {
            Some(Outcome::Item(item)) => {
                this.item = Some(item);
                return Ok(None);
            }
            Some(Outcome::Over) => return Ok(None),
            Some(Outcome::Error(error)) => return Err(PyErr::from_value(error.into_bound(py))),
            None => {}
        }
        if let Some(Read { state: State::Shared { .. }, waits_for, .. }) = &this.read {
            return Ok(Some(
                waits_for.as_ref().map_or_else(|| py.None(), |future| future.clone_ref(py)).into_bound(py),
            ));
        }
        this._asyncio_future_blocking = true;
        Ok(Some(slf.as_any().clone()))
    }

    /// The task that shared a wait is here, so it is over.
    fn end_shared_wait(&mut self) {
        if let Some(read) = &mut self.read
            && matches!(read.state, State::Shared { .. })
        {
            read.state = State::Ready;
            read.waits_for = None;
        }
    }

    /// Takes the place of the future that the task waits for, so that others can wake it. Where the task's context cannot
    /// be had, only if it `must`: the read goes on in a copy then.
    fn stand_in(slf: &Bound<'_, Self>, must: bool) -> PyResult<()> {
        let py = slf.py();
        let mut this = slf.borrow_mut();
        let Some(read) = &mut this.read else { return Ok(()) };
        let State::Shared { task } = &read.state else { return Ok(()) };
        let task = task.clone_ref(py);
        let waits_for = read.waits_for.as_ref().map(|future| future.clone_ref(py));
        drop(this);
        let wait = match &waits_for {
            Some(future) => Wait::taken_from(future.bind(py), task.bind(py))?,
            None => None,
        };
        if let (None, Some(future), false) = (&wait, &waits_for, must)
            && !future.call_method0(py, "done")?.is_truthy(py)?
        {
            return Ok(()); // asyncio refuses to wait for it, and is about to say so.
        }
        // Where the callback is gone the task has been woken already, and comes by itself.
        let context = match &wait {
            Some(wait) => Some(wait.context.clone_ref(py)),
            None => match task.bind(py).getattr_opt(intern!(py, "get_context"))? {
                Some(get) => Some(get.call0()?.unbind()),
                None if must => None,
                None => return Ok(()), // Python 3.11
            },
        };
        slf.borrow_mut().wait = wait;
        Stepper::be_called(slf, context)
    }

    /// Runs one step of the read, and begins it where none is under way; throws `error` into it. None where it waits:
    /// the task that runs now may share what it waits for, if `shares`.
    fn step(slf: &Bound<'_, Self>, error: Option<PyErr>, shares: bool) -> PyResult<Option<Outcome>> {
        let py = slf.py();
        let asyncio = Asyncio::get(py)?;
        let this = slf.borrow();
        let (Some(event_loop), Some(task)) = (&this._loop, &this.task) else {
            return Err(PyRuntimeError::new_err("a Stepper needs a task to read in the name of"));
        };
        let (event_loop, task) = (event_loop.clone_ref(py), task.clone_ref(py));
        drop(this);

        let before = asyncio.swap(py, &event_loop, &task)?;
        // A task whose steps others run cannot share: it is theirs that would be woken.
        let depth = DEPTH.replace(DEPTH.get() + 1);
        let stepped = Stepper::step_as_task(slf, error);
        DEPTH.set(depth);
        asyncio.restore(py, &event_loop, &before)?;
        let shares = shares && depth == 0;

        let outcome = match stepped {
            Ok(PySendResult::Next(waits_for)) => {
                Stepper::suspend(slf, waits_for, shares.then_some(before))?;
                return Ok(None);
            }
            Ok(PySendResult::Return(item)) => Outcome::Item(item.unbind()),
            Err(error) if error.is_instance_of::<PyStopAsyncIteration>(py) => Outcome::Over,
            Err(error) => Outcome::Error(error.into_value(py).into_any()),
        };
        slf.borrow_mut().read = None;
        Ok(Some(outcome))
    }

    fn step_as_task<'py>(slf: &Bound<'py, Self>, mut error: Option<PyErr>) -> PyResult<PySendResult<'py>> {
        let py = slf.py();
        let mut this = slf.borrow_mut();
        if let Some(failure) = this.failure.take() {
            error = Some(PyErr::from_value(failure.into_bound(py)));
        }
        if let Some(msg) = this.cancel.take() {
            error = Some(PyErr::from_value(Asyncio::get(py)?.cancelled_error(py, Some(msg))?.into_bound(py)));
        }
        let steps = match (&this.read, &this.begin) {
            (Some(read), _) => {
                let steps = read.steps.bind(py).clone();
                drop(this);
                steps
            }
            (None, Some(begin)) => {
                let begin = begin.bind(py).clone();
                drop(this);
                let next = begin.call0()?;
                // That of an async generator is an iterator already.
                let steps = match next.cast_into::<PyIterator>() {
                    Ok(steps) => steps,
                    Err(next) => next.into_inner().call_method0(intern!(py, "__await__"))?.cast_into()?,
                };
                slf.borrow_mut().read = Some(Read::new(&steps));
                steps
            }
            (None, None) => return Err(PyStopAsyncIteration::new_err(())),
        };
        let Some(error) = error else { return steps.send(py.None().bind(py)) };
        match steps.call_method1(intern!(py, "throw"), (error,)) {
            Ok(waits_for) => Ok(PySendResult::Next(waits_for)),
            Err(stop) if stop.is_instance_of::<PyStopIteration>(py) => {
                Ok(PySendResult::Return(stop.value(py).getattr("value")?))
            }
            Err(error) => Err(error),
        }
    }

    /// The read waits. `task` may wait for the same future, if that is asyncio's own.
    fn suspend(slf: &Bound<'_, Self>, waits_for: Bound<'_, PyAny>, task: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let is_none = waits_for.is_none();
        let mut this = slf.borrow_mut();
        let is_cancelled = this.cancel.is_some();
        let can_share = !this.survives && !is_cancelled && Asyncio::get(py)?.is_future(&waits_for);
        let sharer = task.filter(|task| can_share && !task.is_none(py));
        if let Some(task) = &sharer
            && !this.sharer.as_ref().is_some_and(|sharer| sharer.is(task))
        {
            this.cancelling = task.call_method0(py, "cancelling")?.extract(py)?;
            this.sharer = Some(task.clone_ref(py));
        }
        if let Some(read) = &mut this.read {
            read.state = match sharer {
                Some(task) => State::Shared { task },
                None => State::Suspended,
            };
            read.waits_for = (!is_none).then(|| waits_for.clone().unbind());
            if is_none || matches!(read.state, State::Shared { .. }) {
                return Ok(());
            }
        }
        drop(this);
        let blocking = intern!(py, "_asyncio_future_blocking");
        let is_future = waits_for.getattr(blocking).is_ok_and(|blocking| blocking.is_truthy().unwrap_or(false));
        let is_itself = slf.borrow().task.as_ref().is_some_and(|task| waits_for.is(task));
        if !is_future || is_itself {
            let message = format!("a source awaits {}, for which it cannot wait", waits_for.repr()?);
            let mut this = slf.borrow_mut();
            this.failure = Some(PyRuntimeError::new_err(message).into_value(py).into_any());
            if let Some(read) = &mut this.read {
                read.waits_for = None;
            }
            return Ok(());
        }
        waits_for.setattr(blocking, false)?;
        if is_cancelled { Stepper::cancel_future(slf, &waits_for) } else { Ok(()) }
    }

    /// Tells what the read waits for that it is cancelled; where that takes no cancel, the next step will be told.
    fn cancel_future(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let msg = slf.borrow().cancel.as_ref().map(|msg| msg.clone_ref(py));
        let arguments = [("msg", msg)].into_py_dict(py)?;
        if future.call_method("cancel", (), Some(&arguments))?.is_truthy()? {
            slf.borrow_mut().cancel = None;
        }
        Ok(())
    }

    /// Lets the loop call this stepper when the read can go on.
    fn be_called(slf: &Bound<'_, Self>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let mut this = slf.borrow_mut();
        let Some(read) = &mut this.read else { return Ok(()) };
        read.state = State::Called { context: context.as_ref().map(|context| context.clone_ref(py)) };
        let waits_for = read.waits_for.as_ref().map(|future| future.clone_ref(py));
        drop(this);
        let Some(future) = waits_for else {
            return Stepper::call_soon(slf, slf.as_any(), py.None().bind(py), context);
        };
        let keywords = [("context", context)].into_py_dict(py)?;
        future.bind(py).call_method("add_done_callback", (slf,), Some(&keywords)).map(drop)
    }

    fn call_soon(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        argument: &Bound<'_, PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let event_loop = slf.borrow()._loop.as_ref().map(|event_loop| event_loop.clone_ref(py));
        let Some(event_loop) = event_loop else { return Ok(()) };
        let keywords = [("context", context)].into_py_dict(py)?;
        event_loop.bind(py).call_method("call_soon", (callback, argument), Some(&keywords)).map(drop)
    }
}

impl Outcome {
    /// What goes through every task to who runs the loop: `KeyboardInterrupt`, `SystemExit`.
    fn fatal(&self, py: Python<'_>) -> PyResult<Option<PyErr>> {
        let Outcome::Error(error) = self else { return Ok(None) };
        let error = error.bind(py);
        let is_common = error.is_instance_of::<PyException>()
            || error.is_instance(Asyncio::get(py)?.cancelled_error.bind(py))?
            || error.is_instance_of::<PyGeneratorExit>();
        Ok((!is_common).then(|| PyErr::from_value(error.clone())))
    }
}

impl Read {
    fn new(steps: &Bound<'_, PyIterator>) -> Self {
        Read { steps: steps.clone().unbind(), state: State::Ready, waits_for: None }
    }
}

impl Wait {
    /// The callback by which `future` would wake `task`, taken from it; None where it has been called.
    fn taken_from(future: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let callbacks = future.getattr("_callbacks")?;
        if callbacks.is_none() {
            return Ok(None);
        }
        for callback in callbacks.try_iter()? {
            let (wake, context) = callback?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            if wake.getattr_opt("__self__")?.is_some_and(|of| of.is(task)) {
                future.call_method1("remove_done_callback", (&wake,))?;
                return Ok(Some(Wait { wake: wake.unbind(), context: context.unbind() }));
            }
        }
        Ok(None)
    }

    /// Runs the task's step; no task runs now, and `context` is entered.
    fn wake(&self, stepper: &Bound<'_, Stepper>, context: Option<&Py<PyAny>>) -> PyResult<()> {
        let py = stepper.py();
        if context.is_some_and(|context| context.is(&self.context)) {
            return self.wake.bind(py).call1((stepper,)).map(drop);
        }
        self.context.bind(py).call_method1("run", (&self.wake, stepper)).map(drop)
    }
}
