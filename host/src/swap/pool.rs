use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::http::error::Failure;
use crate::sandbox::instance::Instance;

/// The instances of one generation: at most `size`, each used by one request at a time.
pub(crate) struct Pool {
    /// A permit is the right to use an instance: an idle one, or else one that is made for it.
    permits: Arc<Semaphore>,
    /// Written by whoever returns an instance, for a push or a pop: never while a component runs.
    idle: Mutex<Vec<Instance>>,
    make: Box<dyn Fn() -> Result<Instance> + Send + Sync>,
}

/// An instance in use. Dropped without [`Lease::give_back`], as after a trap, the instance is gone with it.
pub(crate) struct Lease {
    pub(crate) instance: Instance,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// `make` may block.
    pub(crate) fn new(
        size: usize,
        idle: Vec<Instance>,
        make: impl Fn() -> Result<Instance> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(size));
        Arc::new(Pool { permits, idle: Mutex::new(idle), make: Box::new(make) })
    }

    /// Waits for an instance. Where none is idle and the pool is not full yet, one is made, off the runtime's threads.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease, Failure> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            // Never closed, so that it waits for another's permit.
            Err(_) => self.permits.clone().acquire_owned().await.map_err(|error| Failure::Internal(error.into()))?,
        };
        if let Some(instance) = self.pop() {
            return Ok(self.clone().lend(instance, permit));
        }
        let pool = self.clone();
        let made = spawn_blocking(move || (pool.make)().map(|instance| pool.lend(instance, permit))).await;
        made.map_err(anyhow::Error::from).flatten().map_err(Failure::NoInstance)
    }

    /// Makes the instances that are missing, one by one, as long as no request needs the permits. Blocks.
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        // A push or a pop leaves nothing half done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// An instance that grew far beyond its generation's need is dropped instead.
    pub(crate) fn give_back(self) {
        if !self.instance.is_outgrown() {
            self.pool.lock().push(self.instance);
        }
    }
}
