//! The instances of one generation, each lent to one request at a time. It does not look into requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::sandbox::instance::Instance;

/// At most `size` instances.
pub(crate) struct Pool {
    /// A permit is the right to use an instance: an idle one, or a new one.
    permits: Arc<Semaphore>,
    /// Locked for a push or a pop, and never while a component runs.
    idle: Mutex<Vec<Instance>>,
    make: Box<dyn Fn() -> Result<Instance> + Send + Sync>,
}

/// An instance in use. If it is dropped without [`Lease::give_back`], as after a trap, the instance is dropped too.
pub(crate) struct Lease {
    pub(crate) instance: Instance,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

/// An instance cannot be made.
#[derive(Debug, Error)]
#[error("no instance can be made")]
pub(crate) struct NoInstance(#[source] pub(crate) anyhow::Error);

impl Pool {
    /// Makes a pool of the instances in `idle`. `make` makes more of them, and may block.
    pub(crate) fn new(
        size: usize,
        idle: Vec<Instance>,
        make: impl Fn() -> Result<Instance> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(size));
        Arc::new(Pool { permits, idle: Mutex::new(idle), make: Box::new(make) })
    }

    /// Waits for an instance. If none is idle and the pool is not full yet, makes one, off the runtime's threads.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease, NoInstance> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            // The semaphore is never closed, so this waits for a permit.
            Err(_) => self.permits.clone().acquire_owned().await.map_err(|error| NoInstance(error.into()))?,
        };
        if let Some(instance) = self.pop() {
            return Ok(self.clone().lend(instance, permit));
        }
        let pool = self.clone();
        let made = spawn_blocking(move || (pool.make)().map(|instance| pool.lend(instance, permit))).await;
        made.map_err(anyhow::Error::from).flatten().map_err(NoInstance)
    }

    /// Makes the missing instances one by one, while no request needs the permits. Blocks.
    pub(crate) fn fill(self: &Arc<Self>) -> Result<()> {
        while let Ok(permit) = self.permits.clone().try_acquire_owned() {
            if self.lock().len() > self.permits.available_permits() {
                break;
            }
            self.clone().lend((self.make)()?, permit).give_back();
        }
        Ok(())
    }

    fn lend(self: Arc<Self>, instance: Instance, permit: OwnedSemaphorePermit) -> Lease {
        Lease { instance, pool: self, _permit: permit }
    }

    fn pop(&self) -> Option<Instance> {
        self.lock().pop()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Instance>> {
        // A panic cannot interrupt a push or a pop.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Returns the instance to its pool, or drops it if it has grown far beyond what its checkpoint needs.
    pub(crate) fn give_back(self) {
        if !self.instance.is_outgrown() {
            self.pool.lock().push(self.instance);
        }
    }
}
