//! A thread that looks after others, all the time.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// The time between two checks.
const TICK: Duration = Duration::from_millis(10);

/// Something that is checked at each tick.
pub(crate) trait Watched: Send + Sync {
    /// Does what is to be done. It must not block.
    fn check(&self);
}

/// `None` until the thread starts.
static WATCHED: Mutex<Option<Vec<Weak<dyn Watched>>>> = Mutex::new(None);

/// Checks this at each tick while it lives.
///
/// # Errors
///
/// Fails if the thread does not run yet, and the machine has none to spare.
pub(crate) fn watch(watched: Arc<dyn Watched>) -> io::Result<()> {
    let mut all = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if all.is_none() {
        thread::Builder::new().name("sac-watchdog".to_owned()).spawn(run)?;
    }
    all.get_or_insert_default().push(Arc::downgrade(&watched));
    Ok(())
}

fn run() {
    loop {
        thread::sleep(TICK);
        let mut all = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = |watched: &Weak<dyn Watched>| watched.upgrade().inspect(|watched| watched.check()).is_some();
        all.get_or_insert_default().retain(alive);
    }
}
