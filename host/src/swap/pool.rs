//! The instances of one generation, each lent to one request at a time. It does not look into requests.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Error, Result};
use thiserror::Error;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::sandbox::instance::Instance;
use crate::swap::makers::Makers;

/// The number of instances of a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolSize {
    /// The number of requests that have an instance at once, if they wait for one.
    pub(crate) most: usize,
    /// The number of idle instances that are kept.
    pub(crate) kept: usize,
}

/// At most `size` instances.
pub(crate) struct Pool {
    /// A permit is the right to use an instance: an idle one, or a new one.
    permits: Arc<Semaphore>,
    /// Locked to take or to return an instance, and never while a component runs.
    instances: Mutex<Instances>,
    /// Wakes one who waits whenever an instance is idle, or is lost.
    changed: Notify,
    /// True while a missing instance is made for those who wait, and after that has failed.
    is_making: AtomicBool,
    size: PoolSize,
    /// May block, and runs on a thread of `makers` only.
    make: Box<dyn Fn() -> Result<Instance> + Send + Sync>,
    makers: Arc<Makers>,
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
        size: PoolSize,
        idle: Vec<Instance>,
        makers: Arc<Makers>,
        make: impl Fn() -> Result<Instance> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let instances = Mutex::new(Instances { idle, in_use: 0 });
        Arc::new(Pool {
            permits: Arc::new(Semaphore::new(size.most)),
            instances,
            changed: Notify::new(),
            is_making: AtomicBool::new(false),
            size,
            make: Box::new(make),
            makers,
        })
    }

    /// Waits for an instance. If none is idle and the pool is not full yet, one is made, off the runtime's threads. One in use
    /// usually returns before that.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease, NoInstance> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            // The semaphore is never closed, so this waits for a permit.
            Err(_) => self.permits.clone().acquire_owned().await.map_err(|error| NoInstance(error.into()))?,
        };
        if let Ok(lease) = self.idle() {
            return Ok(lease.with(permit));
        }
        loop {
            // Registers before it looks, so that it misses no instance that returns in between.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.idle() {
                Ok(lease) => return Ok(lease.with(permit)),
                Err(Missing::InUse) => {
                    self.make_missing();
                    changed.await;
                }
                Err(Missing::None) => {
                    let pool = self.clone();
                    let made = self.makers.run(move |_| pool.made()).await.map_err(Error::from).flatten();
                    return Ok(self.lend(made.map_err(NoInstance)?).with(permit));
                }
            }
        }
    }

    /// Lets one instance be made, unless one is being made. If that fails, those in use have to do from then on.
    fn make_missing(self: &Arc<Self>) {
        if self.is_making.swap(true, Ordering::Relaxed) {
            return;
        }
        let pool = self.clone();
        // Without a thread, the next request that waits tries again.
        let sent = self.makers.send(move || {
            if pool.is_full() || pool.made().map(|instance| pool.lend(instance).give_back()).is_ok() {
                pool.is_making.store(false, Ordering::Relaxed);
            }
        });
        if sent.is_err() {
            self.is_making.store(false, Ordering::Relaxed);
        }
    }

    /// Makes an instance. Blocks.
    fn made(&self) -> Result<Instance> {
        (self.make)().or_else(|_| {
            self.makers.make_room();
            (self.make)()
        })
    }

    fn is_full(&self) -> bool {
        let instances = self.lock();
        instances.idle.len() + instances.in_use >= self.size.most
    }

    /// Returns an idle instance or makes one, however many there are. Blocks.
    pub(crate) fn lease_blocking(self: &Arc<Self>) -> Result<Lease, NoInstance> {
        match self.idle() {
            Ok(lease) => Ok(lease),
            Err(_) => Ok(self.lend(self.made().map_err(NoInstance)?)),
        }
    }

    /// Returns an idle instance that no request waits for.
    pub(crate) fn lease_idle(self: &Arc<Self>) -> Option<Lease> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        self.idle().ok().map(|lease| lease.with(permit))
    }

    /// Makes one instance, in a pool without any. Blocks.
    pub(crate) fn start(self: &Arc<Self>) -> Result<()> {
        self.lend((self.make)()?).give_back();
        Ok(())
    }

    /// Makes the missing instances one by one, while no request needs the permits. Blocks.
    pub(crate) fn fill(self: &Arc<Self>) -> Result<()> {
        while let Ok(permit) = self.permits.clone().try_acquire_owned() {
            if self.lock().idle.len() > self.permits.available_permits() {
                break;
            }
            self.lend(self.made()?).with(permit).give_back();
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
            self.makers.retire(idle);
        }
    }
}

impl Lease {
    fn with(self, permit: OwnedSemaphorePermit) -> Lease {
        Lease { _permit: Some(permit), ..self }
    }

    /// Returns the instance to its pool, or drops it if the pool keeps no more, or if it has grown far beyond what its
    /// checkpoint needs.
    pub(crate) fn give_back(self) {
        if !self.instance.is_outgrown() {
            let InUse(pool) = &self.in_use;
            let mut instances = pool.lock();
            if instances.idle.len() < pool.size.kept {
                instances.idle.push(self.instance);
            }
        }
        // Dropping `in_use` wakes one who waits.
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.lock().in_use -= 1;
        self.0.changed.notify_one();
    }
}
