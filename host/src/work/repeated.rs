//! A thread that does the same work again and again.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;
use tracing::warn;

/// A thread that does the same work again and again. Everyone who asks before a run begins shares its result, so that any
/// number of questions costs two runs at most: the one under way, and the next.
///
/// The thread starts with the first question. If the machine has none to spare, that question has no result, and the next
/// one tries again.
pub(crate) struct Repeated<A, T> {
    name: &'static str,
    desk: Arc<Desk<A, T>>,
}

struct Desk<A, T> {
    run: Box<dyn Fn(Vec<A>) -> T + Send + Sync>,
    /// Locked to add a question, or to take all of them, and never during a run.
    state: Mutex<State<A, T>>,
    wake: Condvar,
}

struct State<A, T> {
    waiting: Vec<(A, oneshot::Sender<T>)>,
    is_started: bool,
    /// True if the thread did not start the last time, and the log says so.
    has_failed: bool,
    is_closed: bool,
}

impl<A, T> Repeated<A, T>
where
    A: Send + 'static,
    T: Clone + Send + 'static,
{
    /// `run` gets all questions that a run answers.
    pub(crate) fn new(name: &'static str, run: impl Fn(Vec<A>) -> T + Send + Sync + 'static) -> Self {
        let state = Mutex::new(State { waiting: Vec::new(), is_started: false, has_failed: false, is_closed: false });
        Repeated { name, desk: Arc::new(Desk { run: Box::new(run), state, wake: Condvar::new() }) }
    }

    /// Asks for the result of a run that begins after this call. The run takes place even if the receiver is dropped. The
    /// receiver fails if there is no thread, or if the run panics.
    pub(crate) fn ask(&self, what: A) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.desk.lock();
        if !state.is_started {
            match self.start() {
                Ok(()) => state.is_started = true,
                Err(error) => {
                    if !std::mem::replace(&mut state.has_failed, true) {
                        warn!("the thread {} does not start, and is tried again: {error}", self.name);
                    }
                    return receiver;
                }
            }
        }
        // While a run takes long, those who gave up must not fill the memory.
        if state.waiting.len() == state.waiting.capacity() {
            let mut first = true;
            state.waiting.retain(|(_, sender)| std::mem::take(&mut first) || !sender.is_closed());
        }
        state.waiting.push((what, sender));
        drop(state);
        self.desk.wake.notify_one();
        receiver
    }

    fn start(&self) -> io::Result<()> {
        let desk = self.desk.clone();
        let work = move || {
            while let Some((asked, waiting)) = desk.next() {
                // The panic hook reports a panic. Those who wait learn that the run gave no result.
                let Ok(result) = catch_unwind(AssertUnwindSafe(|| (desk.run)(asked))) else { continue };
                for sender in waiting {
                    let _ = sender.send(result.clone());
                }
            }
        };
        thread::Builder::new().name(self.name.to_owned()).spawn(work).map(drop)
    }
}

impl<A, T> Desk<A, T> {
    /// Waits for questions, and takes all of them. Returns `None` when nobody can ask any more.
    fn next(&self) -> Option<(Vec<A>, Vec<oneshot::Sender<T>>)> {
        let wait = self.wake.wait_while(self.lock(), |state| state.waiting.is_empty() && !state.is_closed);
        let mut state = wait.unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            return None;
        }
        Some(std::mem::take(&mut state.waiting).into_iter().unzip())
    }

    fn lock(&self) -> MutexGuard<'_, State<A, T>> {
        // A panic cannot interrupt a push or a take.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread ends after the run under way.
impl<A, T> Drop for Repeated<A, T> {
    fn drop(&mut self) {
        self.desk.lock().is_closed = true;
        self.desk.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn everyone_who_asks_during_a_run_shares_the_next_one() {
        let (begun, begins) = mpsc::channel();
        let (go, goes) = mpsc::channel();
        let (goes, runs) = (Mutex::new(goes), AtomicUsize::new(0));
        let work = Repeated::new("test", move |asked: Vec<u32>| {
            begun.send(()).unwrap();
            goes.lock().unwrap().recv().unwrap();
            (runs.fetch_add(1, Ordering::Relaxed) + 1, asked.len())
        });
        let first = work.ask(1);
        begins.recv().unwrap();
        let rest = (0..100).map(|_| work.ask(2)).collect::<Vec<_>>();
        // Those who give up leave no trace, however many they are.
        (0..100_000).for_each(|_| drop(work.ask(3)));
        assert!(work.desk.lock().waiting.capacity() < 1000);
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), (1, 1));
        for receiver in rest {
            assert_eq!(receiver.await.unwrap().0, 2);
        }
    }

    #[tokio::test]
    async fn a_panic_ends_a_run_and_not_the_thread() {
        let work = Repeated::new("test", |asked: Vec<bool>| assert!(!asked[0], "as asked"));
        assert!(work.ask(true).await.is_err());
        assert!(work.ask(false).await.is_ok());
    }
}
