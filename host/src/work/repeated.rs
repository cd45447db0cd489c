//! Work that is done again and again, for all who ask meanwhile at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tracing::warn;

use crate::work::crew::Crew;

/// Work that is done again and again, on a thread of a crew. Everyone who asks before a run begins shares its result, so
/// that any number of questions costs two runs at most: the one under way, and the next. One run takes place at a time.
///
/// Several may share a crew. Each has its turn after the others that wait, so that one that is asked all the time keeps no
/// thread for itself.
///
/// If the machine has no thread to spare for the first question, that question has no result, and the next one tries again.
pub(crate) struct Repeated<A, T> {
    crew: Arc<Crew>,
    desk: Arc<Desk<A, T>>,
}

struct Desk<A, T> {
    run: Box<dyn Fn(Vec<A>) -> T + Send + Sync>,
    /// Locked to add a question, or to take all of them, and never during a run.
    state: Mutex<State<A, T>>,
}

struct State<A, T> {
    waiting: Vec<(A, oneshot::Sender<T>)>,
    /// True while a run is under way, or waits for a thread.
    is_busy: bool,
    /// True if no thread started the last time, and the log says so.
    has_failed: bool,
    is_closed: bool,
}

impl<A, T> Repeated<A, T>
where
    A: Send + 'static,
    T: Clone + Send + 'static,
{
    /// Makes work on the threads of a crew. `run` gets all questions that a run answers.
    pub(crate) fn on(crew: Arc<Crew>, run: impl Fn(Vec<A>) -> T + Send + Sync + 'static) -> Self {
        let state = Mutex::new(State { waiting: Vec::new(), is_busy: false, has_failed: false, is_closed: false });
        Repeated { crew, desk: Arc::new(Desk { run: Box::new(run), state }) }
    }

    /// Asks for the result of a run that begins after this call. The run takes place even if the receiver is dropped. The
    /// receiver fails if there is no thread, or if the run panics.
    pub(crate) fn ask(&self, what: A) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.desk.lock();
        if !state.is_busy {
            // The turn begins when the lock is free, with this question.
            if let Err(error) = queue(&self.crew, &self.desk) {
                if !std::mem::replace(&mut state.has_failed, true) {
                    warn!("the thread {} does not start, and is tried again: {error}", self.crew.name());
                }
                return receiver;
            }
            state.is_busy = true;
        }
        // While a run takes long, those who gave up must not fill the memory.
        if state.waiting.len() == state.waiting.capacity() {
            let mut first = true;
            state.waiting.retain(|(_, sender)| std::mem::take(&mut first) || !sender.is_closed());
        }
        state.waiting.push((what, sender));
        receiver
    }
}

/// Queues a turn. It holds no reference to the crew, which ends with its owners.
fn queue<A, T>(crew: &Arc<Crew>, desk: &Arc<Desk<A, T>>) -> std::io::Result<()>
where
    A: Send + 'static,
    T: Clone + Send + 'static,
{
    let (crew_of_turn, desk) = (Arc::downgrade(crew), desk.clone());
    crew.send(move || {
        while desk.run_once() {
            // Without the crew, no other work waits for the thread.
            if crew_of_turn.upgrade().is_some_and(|crew| queue(&crew, &desk).is_ok()) {
                return;
            }
        }
    })
}

impl<A, T: Clone> Desk<A, T> {
    /// Answers all who wait by one run. Returns `true` if others ask meanwhile.
    fn run_once(&self) -> bool {
        let (asked, waiting) = self.take();
        if !asked.is_empty() {
            // The panic hook reports a panic. Those who wait learn that the run gave no result.
            if let Ok(result) = catch_unwind(AssertUnwindSafe(|| (self.run)(asked))) {
                for sender in waiting {
                    let _ = sender.send(result.clone());
                }
            }
        }
        let mut state = self.lock();
        state.is_busy = !state.waiting.is_empty() && !state.is_closed;
        state.is_busy
    }

    /// Takes all questions. There are none when nobody can ask any more.
    fn take(&self) -> (Vec<A>, Vec<oneshot::Sender<T>>) {
        let mut state = self.lock();
        if state.is_closed { Default::default() } else { std::mem::take(&mut state.waiting).into_iter().unzip() }
    }
}

impl<A, T> Desk<A, T> {
    fn lock(&self) -> MutexGuard<'_, State<A, T>> {
        // A panic cannot interrupt a push or a take.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The run under way is the last.
impl<A, T> Drop for Repeated<A, T> {
    fn drop(&mut self) {
        self.desk.lock().is_closed = true;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn crew(threads: usize) -> Arc<Crew> {
        Arc::new(Crew::new("test", threads))
    }

    #[tokio::test]
    async fn everyone_who_asks_during_a_run_shares_the_next_one() {
        let (begun, begins) = mpsc::channel();
        let (go, goes) = mpsc::channel();
        let (goes, runs) = (Mutex::new(goes), AtomicUsize::new(0));
        let work = Repeated::on(crew(1), move |asked: Vec<u32>| {
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
        let work = Repeated::on(crew(1), |asked: Vec<bool>| assert!(!asked[0], "as asked"));
        assert!(work.ask(true).await.is_err());
        assert!(work.ask(false).await.is_ok());
    }

    #[tokio::test]
    async fn one_that_is_slow_leaves_the_other_threads_of_the_crew_and_one_that_is_asked_again_waits_for_its_turn() {
        let crew = crew(2);
        let (go, goes) = mpsc::channel::<()>();
        let goes = Mutex::new(goes);
        let slow = Repeated::on(crew.clone(), move |_: Vec<()>| goes.lock().unwrap().recv().is_ok());
        let waits = slow.ask(());
        // However many ask it meanwhile, it takes one thread.
        let rest = (0..10).map(|_| slow.ask(())).collect::<Vec<_>>();
        let many = (0..100).map(|n| Repeated::on(crew.clone(), move |_: Vec<()>| n)).collect::<Vec<_>>();
        for (n, work) in many.iter().enumerate() {
            assert_eq!(work.ask(()).await.unwrap(), n);
        }
        drop(go);
        assert!(!waits.await.unwrap());
        for receiver in rest {
            assert!(!receiver.await.unwrap());
        }
    }

    #[tokio::test]
    async fn what_is_asked_while_a_run_ends_is_never_lost() {
        let crew = crew(2);
        let work = Arc::new(Repeated::on(crew, |asked: Vec<u32>| asked.len()));
        let askers = (0..4).map(|_| {
            let work = work.clone();
            tokio::spawn(async move {
                for n in 0..2000 {
                    assert!(work.ask(n).await.unwrap() > 0);
                }
            })
        });
        for asker in askers.collect::<Vec<_>>() {
            asker.await.unwrap();
        }
    }
}
