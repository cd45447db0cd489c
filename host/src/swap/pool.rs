//! The instances of one generation, each lent to one request at a time. It does not look into requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Error, Result};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sandbox::instance::Instance;
use crate::work::crew::Crew;

/// At most `size` instances.
pub(crate) struct Pool {
    /// A permit is the right to use an instance: an idle one, or a new one.
    permits: Arc<Semaphore>,
    /// Locked to take or to return an instance, and never while a component runs.
    instances: Mutex<Instances>,
    /// May block, and runs on a thread of `makers` only.
    make: Box<dyn Fn() -> Result<Instance> + Send + Sync>,
    makers: Arc<Crew>,
}

struct Instances {
    idle: Vec<Instance>,
    /// The number of leases.
    in_use: usize,
}

/// An instance in use. If it is dropped without [`Lease::give_back`], as after a trap, the instance is dropped too.
pub(crate) struct Lease {
    pub(crate) instance: Instance,
    in_use: InUse,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Counts a lease of its pool.
struct InUse(Arc<Pool>);

/// The reason why no instance is idle.
enum Missing {
    /// Some are in use.
    InUse,
    /// There is none at all.
    None,
}

/// An instance cannot be made.
#[derive(Debug, Error)]
#[error("no instance can be made")]
pub(crate) struct NoInstance(#[source] pub(crate) Error);

impl Pool {
    /// Makes a pool of the instances in `idle`. `make` makes more of them, and may block.
    pub(crate) fn new(
        size: usize,
        idle: Vec<Instance>,
        makers: Arc<Crew>,
        make: impl Fn() -> Result<Instance> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let instances = Mutex::new(Instances { idle, in_use: 0 });
        Arc::new(Pool { permits: Arc::new(Semaphore::new(size)), instances, make: Box::new(make), makers })
    }

    /// Waits for an instance. If none is idle and the pool is not full yet, makes one, off the runtime's threads. If none can
    /// be made, waits for one of the others.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease, NoInstance> {
        loop {
            let permit = match self.permits.clone().try_acquire_owned() {
                Ok(permit) => permit,
                // The semaphore is never closed, so this waits for a permit.
                Err(_) => self.permits.clone().acquire_owned().await.map_err(|error| NoInstance(error.into()))?,
            };
            if let Ok(lease) = self.idle() {
                return Ok(lease.with(permit));
            }
            let pool = self.clone();
            let error = match self.makers.run(move |_| (pool.make)()).await.map_err(Error::from).flatten() {
                Ok(instance) => return Ok(self.lend(instance).with(permit)),
                Err(error) => error,
            };
            match self.idle() {
                Ok(lease) => return Ok(lease.with(permit)),
                // Those in use have permits of their own, so this one is of no use.
                Err(Missing::InUse) => permit.forget(),
                Err(Missing::None) => return Err(NoInstance(error)),
            }
        }
    }

    /// Returns an idle instance or makes one, however many there are. Blocks.
    pub(crate) fn lease_blocking(self: &Arc<Self>) -> Result<Lease, NoInstance> {
        match self.idle() {
            Ok(lease) => Ok(lease),
            Err(_) => Ok(self.lend((self.make)().map_err(NoInstance)?)),
        }
    }

    /// Makes the missing instances one by one, while no request needs the permits. Blocks.
    pub(crate) fn fill(self: &Arc<Self>) -> Result<()> {
        while let Ok(permit) = self.permits.clone().try_acquire_owned() {
            if self.lock().idle.len() > self.permits.available_permits() {
                break;
            }
            self.lend((self.make)()?).with(permit).give_back();
        }
        Ok(())
    }

    /// Lends an instance that was just made.
    fn lend(self: &Arc<Self>, instance: Instance) -> Lease {
        self.lock().in_use += 1;
        Lease { instance, in_use: InUse(self.clone()), _permit: None }
    }

    fn idle(self: &Arc<Self>) -> Result<Lease, Missing> {
        let mut instances = self.lock();
        match instances.idle.pop() {
            Some(instance) => {
                instances.in_use += 1;
                Ok(Lease { instance, in_use: InUse(self.clone()), _permit: None })
            }
            None if instances.in_use > 0 => Err(Missing::InUse),
            None => Err(Missing::None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Instances> {
        // A panic cannot interrupt a push or a pop.
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ending an instance takes longer than an answer, and the last reference to a generation may be a request's.
impl Drop for Pool {
    fn drop(&mut self) {
        let idle = std::mem::take(&mut self.lock().idle);
        if !idle.is_empty() {
            // Without a thread, this ends them at once.
            let _ = self.makers.send(move || drop(idle));
        }
    }
}

impl Lease {
    fn with(self, permit: OwnedSemaphorePermit) -> Lease {
        Lease { _permit: Some(permit), ..self }
    }

    /// Returns the instance to its pool, or drops it if it has grown far beyond what its checkpoint needs.
    pub(crate) fn give_back(self) {
        if !self.instance.is_outgrown() {
            let InUse(pool) = &self.in_use;
            pool.lock().idle.push(self.instance);
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.lock().in_use -= 1;
    }
}
