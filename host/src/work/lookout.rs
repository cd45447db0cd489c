//! Looks at files for requests.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::work::crew::Crew;
use crate::work::repeated::Repeated;
use crate::work::watchdog::{Watched, watch};

/// A look that takes longer is slow.
const SLOW: Duration = Duration::from_millis(1);
/// The number of looks that must not be slow, one after another, before requests look for themselves again.
const TRUST: u32 = 64;

/// Looks at files for requests.
///
/// A look takes microseconds on most storage, so a request looks on its own thread. After a look that was slow, as on a
/// network or a disk that stalls, another thread looks, and all requests that wait share the next look. At most all
/// but one of the runtime's threads look at the same time, so storage that hangs never stops all of them.
pub(crate) struct Lookout<T> {
    look: Arc<dyn Fn() -> T + Send + Sync>,
    thread: Repeated<(), T>,
    here: Arc<LooksHere>,
    /// The number of looks that are missing until requests look for themselves again.
    distrust: Arc<AtomicU32>,
}

/// The threads that look for several lookouts, and the looks of all of them on threads of the runtime.
#[derive(Clone)]
pub(crate) struct Lookers {
    crew: Arc<Crew>,
    here: Arc<LooksHere>,
}

/// The looks on threads of the runtime.
struct LooksHere {
    /// The number of requests that look now.
    count: AtomicUsize,
    /// The time from `started` to the beginning of the last look, in nanoseconds.
    began: AtomicU64,
    started: Instant,
    /// The runtime of the first look, and the largest number of looks at once.
    runtime: OnceLock<(Handle, usize)>,
}

impl<T: Clone + Send + 'static> Lookout<T> {
    /// Makes a lookout with a thread of its own. `look` may block.
    pub(crate) fn new(name: &'static str, look: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Lookout::by(&Lookers::new(name, 1), look)
    }

    /// Makes a lookout whose slow looks take place on shared threads. `look` may block.
    pub(crate) fn by(lookers: &Lookers, look: impl Fn() -> T + Send + Sync + 'static) -> Self {
        let look: Arc<dyn Fn() -> T + Send + Sync> = Arc::new(look);
        let distrust = Arc::new(AtomicU32::new(0));
        let (own, owns) = (look.clone(), distrust.clone());
        let thread = Repeated::on(lookers.crew.clone(), move |_| timed(&*own, Instant::now(), &owns));
        Lookout { look, thread, here: lookers.here.clone(), distrust }
    }

    /// Returns the result of a look that begins after this call, or `None` if there is none within `wait`.
    pub(crate) async fn look(&self, wait: Duration) -> Option<T> {
        if let Some(turn) = self.turn() {
            return Some(self.look_here(&turn));
        }
        let answer = timeout(wait, self.thread.ask(())).await.ok()?;
        Some(answer.unwrap_or_else(|_| (self.look)()))
    }

    /// Returns the result of a look that begins after this call, however long it takes.
    pub(crate) async fn look_patiently(&self) -> T {
        if let Some(turn) = self.turn() {
            return self.look_here(&turn);
        }
        // Without another thread, this one is the last resort.
        self.thread.ask(()).await.unwrap_or_else(|_| (self.look)())
    }

    fn look_here(&self, Turn(here): &Turn) -> T {
        let start = Instant::now();
        here.began.store(here.elapsed(start), Ordering::Relaxed);
        timed(&*self.look, start, &self.distrust)
    }

    /// Returns the right to look on this thread.
    fn turn(&self) -> Option<Turn<'_>> {
        if self.distrust.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let (_, most) = self.here.runtime.get_or_init(|| self.here.clone().enter(Handle::current()));
        let turn = Turn(&self.here);
        (self.here.count.fetch_add(1, Ordering::Relaxed) < *most).then_some(turn)
    }
}

impl Lookers {
    pub(crate) fn new(name: &'static str, threads: usize) -> Self {
        let here = LooksHere {
            count: AtomicUsize::new(0),
            began: AtomicU64::new(0),
            started: Instant::now(),
            runtime: OnceLock::new(),
        };
        Lookers { crew: Arc::new(Crew::urgent(name, threads)), here: Arc::new(here) }
    }

    /// Returns the threads, for other questions to the same storage.
    pub(crate) fn crew(&self) -> &Crew {
        &self.crew
    }
}

impl LooksHere {
    /// Returns the runtime, and the number of looks that it may have at once.
    fn enter(self: Arc<Self>, runtime: Handle) -> (Handle, usize) {
        let spare = runtime.metrics().num_workers().saturating_sub(1);
        // Without the watchdog, a look that hangs could stop the runtime.
        let most = if watch(self).is_ok() { spare } else { 0 };
        (runtime, most)
    }

    fn elapsed(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_nanos() as u64
    }
}

/// The thread that looks may be the one that receives the runtime's events. While it is held up, no other takes its place
/// until it is woken.
impl Watched for LooksHere {
    fn check(&self) {
        let waits = self.elapsed(Instant::now()).saturating_sub(self.began.load(Ordering::Relaxed));
        let is_held_up = self.count.load(Ordering::Relaxed) > 0 && waits > SLOW.as_nanos() as u64;
        if let Some((runtime, _)) = self.runtime.get().filter(|_| is_held_up) {
            runtime.spawn(async {});
        }
    }
}

fn timed<T>(look: &(dyn Fn() -> T + Send + Sync), start: Instant, distrust: &AtomicU32) -> T {
    let found = look();
    if start.elapsed() > SLOW {
        distrust.store(TRUST, Ordering::Relaxed);
    } else if distrust.load(Ordering::Relaxed) > 0 {
        // One thread looks now, so that no other changes it.
        distrust.fetch_sub(1, Ordering::Relaxed);
    }
    found
}

/// A request that looks, or that found too many others doing so.
struct Turn<'a>(&'a LooksHere);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn requests_look_for_themselves_until_a_look_is_slow_and_again_after_many_quick_ones() {
        let slow = Arc::new(AtomicBool::new(false));
        let says = slow.clone();
        let look = move || {
            while says.load(Ordering::Relaxed) {
                thread::sleep(2 * SLOW);
                says.store(false, Ordering::Relaxed);
            }
            thread::current().name().unwrap_or_default().to_owned()
        };
        let lookout = Arc::new(Lookout::new("files", look));
        slow.store(true, Ordering::Relaxed);
        tokio::spawn({
            let lookout = lookout.clone();
            async move {
                lookout.look_patiently().await;
                assert_eq!(lookout.look_patiently().await, "files");
                // A busy machine may make some of these slow.
                while lookout.look_patiently().await == "files" {}
            }
        })
        .await
        .unwrap();
    }

    #[test]
    fn a_thread_that_hangs_with_the_runtimes_events_keeps_them_from_nobody() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (go, goes) = channel::<()>();
        let (begun, begins) = channel();
        let goes = Mutex::new(goes);
        let look = move || {
            begun.send(()).unwrap();
            goes.lock().unwrap().recv().is_ok()
        };
        let lookout = Arc::new(Lookout::new("files", look));
        let (sender, receiver) = channel();
        let begin = tokio::time::Instant::now() + Duration::from_millis(50);
        // The thread that receives the first event hangs. The second event comes later, and nothing else happens.
        runtime.spawn(async move {
            tokio::time::sleep_until(begin).await;
            lookout.look_patiently().await
        });
        runtime.spawn(async move {
            tokio::time::sleep_until(begin + Duration::from_millis(50)).await;
            sender.send(()).unwrap();
        });
        begins.recv().unwrap();
        let received = receiver.recv_timeout(Duration::from_secs(60));
        drop(go);
        received.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn storage_that_hangs_holds_up_one_of_two_threads_and_nobody_longer_than_they_wait() {
        let (go, goes) = channel::<()>();
        let goes: Arc<Mutex<Receiver<()>>> = Arc::new(Mutex::new(goes));
        let lookout = Arc::new(Lookout::new("files", move || goes.lock().unwrap().recv().is_ok()));
        // The first waits alone: nothing else wakes the other thread.
        let mut waiting = Vec::new();
        for _ in 0..64 {
            let lookout = lookout.clone();
            waiting.push(tokio::spawn(async move { lookout.look(Duration::from_millis(1)).await }));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while waiting.iter().filter(|look| look.is_finished()).count() < 63 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(go);
        let mut answered = 0;
        for look in waiting {
            answered += usize::from(look.await.unwrap().is_some());
        }
        assert!(answered <= 1, "{answered}");
    }
}
