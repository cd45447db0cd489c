//! A few threads for work that may block.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use thiserror::Error;
use tokio::sync::oneshot;

use crate::platform::lower_priority;

/// A few threads. Work waits for a free one, in the order of its arrival. Each thread starts when it is first needed, and
/// stays. If the machine has none to spare, work waits for those that run.
pub(crate) struct Crew {
    name: &'static str,
    threads: usize,
    priority: Priority,
    queue: Arc<Queue>,
}

/// The priority of a crew's threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Priority {
    /// Requests, which take microseconds, go first. Most crews have this priority.
    Low,
    /// Requests wait for the work.
    Usual,
}

struct Queue {
    /// Locked to add or to take a job, and never while one runs.
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// The number of threads.
    started: usize,
    /// The number of threads that wait for a job.
    idle: usize,
    is_closed: bool,
}

type Job = Box<dyn FnOnce() + Send>;

/// Shows if anybody still waits for a result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interest(Arc<AtomicBool>);

/// The reason why work gave no result.
#[derive(Debug, Error)]
pub(crate) enum CrewError {
    #[error("no thread can be started at this moment")]
    NoThread(#[source] io::Error),
    /// The panic hook reported the reason.
    #[error("the work did not finish")]
    Unfinished,
}

impl Crew {
    /// Makes a crew of at most so many threads, and starts none.
    pub(crate) fn new(name: &'static str, threads: usize) -> Self {
        Crew::with_priority(name, threads, Priority::Low)
    }

    /// Makes a crew as [`Crew::new`] does, for work that requests wait for: its threads have the usual priority.
    pub(crate) fn urgent(name: &'static str, threads: usize) -> Self {
        Crew::with_priority(name, threads, Priority::Usual)
    }

    fn with_priority(name: &'static str, threads: usize, priority: Priority) -> Self {
        Crew { name, threads, priority, queue: Arc::new(Queue { state: Mutex::default(), wake: Condvar::new() }) }
    }

    /// Returns the name of the threads.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Runs `work` on one of the threads. If this future is dropped, work that has not begun never begins, and work that
    /// runs can see it in its [`Interest`].
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Interest) -> T + Send + 'static,
    ) -> Result<T, CrewError> {
        let (sender, receiver) = oneshot::channel();
        let interest = Interest::default();
        let _waits = Waits(interest.clone());
        let job = move || {
            if !interest.is_lost() {
                // Nobody waits any more if this fails.
                let _ = sender.send(work(&interest));
            }
        };
        self.send(job).map_err(CrewError::NoThread)?;
        receiver.await.map_err(|_| CrewError::Unfinished)
    }

    /// Runs `work` on one of the threads, and waits for nothing.
    ///
    /// # Errors
    ///
    /// Fails if there is no thread at all, and none can be started.
    pub(crate) fn send(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.queue.lock();
        if state.idle <= state.jobs.len() && state.started < self.threads {
            match self.start() {
                Ok(()) => state.started += 1,
                Err(error) if state.started == 0 => return Err(error),
                Err(_) => {}
            }
        }
        state.jobs.push_back(Box::new(work));
        drop(state);
        self.queue.wake.notify_one();
        Ok(())
    }

    fn start(&self) -> io::Result<()> {
        let (queue, priority) = (self.queue.clone(), self.priority);
        let work = move || {
            if priority == Priority::Low {
                lower_priority();
            }
            while let Some(job) = queue.next() {
                // The panic hook reports a panic.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        };
        thread::Builder::new().name(self.name.to_owned()).spawn(work).map(drop)
    }
}

/// Each thread ends after the jobs that wait.
impl Drop for Crew {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.queue.wake.notify_all();
    }
}

impl Queue {
    /// Waits for a job. Returns `None` when none can come any more.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        state.idle += 1;
        let wait = self.wake.wait_while(state, |state| state.jobs.is_empty() && !state.is_closed);
        let mut state = wait.unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        state.jobs.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic cannot interrupt a push or a pop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interest {
    /// Returns `true` if nobody waits for the result any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The interest of one who waits. It is lost when this is dropped.
struct Waits(Interest);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::mpsc::channel;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_not_begun_and_learns_it_where_it_runs() {
        let crew = Crew::new("test", 1);
        let (begun, begins) = oneshot::channel();
        let (lost, loses) = oneshot::channel();
        let first = crew.run(move |interest| {
            begun.send(()).unwrap();
            while !interest.is_lost() {
                thread::yield_now();
            }
            lost.send(()).unwrap();
        });
        tokio::select! {
            _ = first => panic!("it ends only when nobody waits"),
            begins = begins => begins.unwrap(),
        }
        // The first is dropped. The thread is free again.
        loses.await.unwrap();
        let (go, goes) = channel::<()>();
        crew.send(move || while goes.recv().is_ok() {}).unwrap();
        {
            let mut second = pin!(crew.run(|_| panic!("nobody waits for this")));
            assert!(poll_fn(|context| Poll::Ready(second.as_mut().poll(context).is_pending())).await);
        }
        drop(go);
        assert_eq!(crew.run(|_| 3).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_not_the_thread() {
        let crew = Crew::new("test", 1);
        assert!(crew.run(|_| -> u32 { panic!("as asked") }).await.is_err());
        assert_eq!(crew.run(|_| 3).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_thread_starts_only_if_no_other_is_free() {
        let crew = Crew::new("test", 2);
        let names = |_: &Interest| thread::current().id();
        let first = crew.run(names).await.unwrap();
        while crew.queue.lock().idle == 0 {
            thread::yield_now();
        }
        assert_eq!(crew.run(names).await.unwrap(), first);
        let (go, goes) = channel::<()>();
        crew.send(move || while goes.recv().is_ok() {}).unwrap();
        // One of two threads is free, whichever has taken the first job.
        crew.run(names).await.unwrap();
        drop(go);
        assert_eq!(crew.queue.lock().started, 2);
    }
}
