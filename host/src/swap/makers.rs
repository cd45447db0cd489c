//! A thread that makes instances and ends those that no request can get any more. Both take longer than an answer.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::sandbox::instance::Instance;
use crate::work::crew::{Crew, CrewError, Interest};

/// Makes instances and ends them, beside the requests.
pub(crate) struct Makers {
    crew: Crew,
    /// The instances of earlier generations that have not ended yet. Locked to add or to take them, and never while one ends.
    retired: Arc<Mutex<Vec<Instance>>>,
    /// Gives up instances of others where memory is short.
    relief: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Makers {
    pub(crate) fn new() -> Self {
        Makers { crew: Crew::new("sac-instances", 1), retired: Arc::default(), relief: OnceLock::new() }
    }

    /// Sets what gives up instances where memory is short. It may be set once.
    pub(crate) fn set_relief(&self, relief: impl Fn() + Send + Sync + 'static) {
        let _ = self.relief.set(Box::new(relief));
    }

    /// Gives up instances of others if memory is short. Blocks.
    pub(crate) fn relieve(&self) {
        if let Some(relieve) = self.relief.get() {
            relieve();
        }
    }

    /// Makes room for an instance that found none. Blocks.
    pub(crate) fn make_room(&self) {
        self.relieve();
        // Those of earlier generations may still take the room.
        self.end_retired();
    }

    /// Runs `work` as [`Crew::run`] does.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Interest) -> T + Send + 'static,
    ) -> Result<T, CrewError> {
        self.crew.run(work).await
    }

    /// Runs `work` as [`Crew::send`] does.
    pub(crate) fn send(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.crew.send(work)
    }

    /// Ends these instances soon. Without a thread, ends them at once.
    pub(crate) fn retire(&self, instances: Vec<Instance>) {
        lock(&self.retired).extend(instances);
        let retired = self.retired.clone();
        if self.crew.send(move || end(&retired)).is_err() {
            end(&self.retired);
        }
    }

    /// Ends on this thread what has been retired. A busy machine may give the other one no time.
    pub(crate) fn end_retired(&self) {
        end(&self.retired);
    }
}

fn end(retired: &Mutex<Vec<Instance>>) {
    loop {
        // The lock is not held while the instance ends.
        let instance = lock(retired).pop();
        if instance.is_none() {
            return;
        }
    }
}

fn lock(retired: &Mutex<Vec<Instance>>) -> MutexGuard<'_, Vec<Instance>> {
    // A panic cannot interrupt a push or a pop.
    retired.lock().unwrap_or_else(PoisonError::into_inner)
}
