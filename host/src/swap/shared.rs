//! The parts that all policies of a process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::Config;
use crate::observe::metrics::Metrics;
use crate::sandbox::factory::{InstanceFactory, SetupError};
use crate::swap::comparisons::Comparisons;
use crate::swap::generation::{Sizes, Threads};
use crate::swap::makers::Makers;
use crate::swap::refusal_log::RefusalLog;
use crate::swap::split::Helpers;
use crate::work::crew::Crew;
use crate::work::lookout::{Lookers, Lookout};

/// The threads that look at storage that is slow, if there are many policies. So many stalled folders delay none of the others.
const LOOKERS: usize = 8;
/// The threads that load checkpoints, if there are many policies. So many files that take long delay none of the others. Each
/// holds a file, so the number bounds memory too.
const LOADERS: usize = 4;
/// The threads that try candidates out for clients, if there are many policies. Each holds a file too.
const TRIERS: usize = 2;

/// The number of comparisons that are remembered, if there are many policies. One that is loaded again is not compared again.
const COMPARISONS: usize = 4096;

/// The parts that all policies of a process share: the sandbox and the threads.
pub(crate) struct Shared {
    factory: InstanceFactory,
    pub(super) threads: Threads,
    /// Compares backends, which takes longer than the next swap may wait for an instance.
    pub(super) comparers: Crew,
    pub(super) comparisons: Comparisons,
    pub(super) lookers: Lookers,
    pub(super) loaders: Arc<Crew>,
    /// Tries candidates out. The loads of policies do not wait for it.
    pub(super) triers: Crew,
    /// Loads the checkpoints of shadows, if there are any.
    pub(super) shadow_loaders: Option<Arc<Crew>>,
    shadow_threshold: f64,
    pub(super) refusals: Arc<RefusalLog>,
    pub(super) reload_wait: Duration,
    workers: usize,
    allows_rollback: bool,
    /// The number of checkpoints that were read and handed to the component.
    loads: AtomicU64,
}

impl Shared {
    /// Compiles the component, or maps the compiled artefact from the cache. Blocks.
    pub(crate) fn new(config: &Config) -> Result<Arc<Self>, SetupError> {
        let factory = InstanceFactory::new(config)?;
        let (makers, helpers) = (Arc::new(Makers::new()), Arc::new(Helpers::new(config.workers.saturating_sub(1))));
        let shadow_loaders = config.shadow.as_ref().map(|_| Arc::new(Crew::new("sac-shadow-load", 1)));
        // The requests of one policy wait for its load. Among many, predictions of the others go first.
        let (lookers, loaders) = match config.root {
            // A shadow has a folder of its own, which must not delay the policy's.
            None => (1 + usize::from(shadow_loaders.is_some()), Crew::urgent("sac-reload", 1)),
            Some(_) => (LOOKERS, Crew::new("sac-reload", LOADERS)),
        };
        Ok(Arc::new(Shared {
            factory,
            threads: Threads { makers, helpers },
            comparers: Crew::new("sac-comparison", 1),
            comparisons: Comparisons::new(if config.root.is_some() { COMPARISONS } else { 1 }),
            lookers: Lookers::new("sac-files", lookers),
            loaders: Arc::new(loaders),
            triers: Crew::new("sac-trial", if config.root.is_some() { TRIERS } else { 1 }),
            shadow_loaders,
            shadow_threshold: config.shadow.as_ref().map_or(0.0, |shadow| shadow.threshold),
            refusals: RefusalLog::new(),
            reload_wait: config.reload_wait,
            workers: config.workers,
            allows_rollback: config.allow_rollback,
            loads: AtomicU64::new(0),
        }))
    }

    /// Returns the factory of instances with the name of the configuration.
    pub(crate) fn factory(&self) -> &InstanceFactory {
        &self.factory
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        self.factory.metrics()
    }

    /// Returns the threads that ask storage.
    pub(crate) fn storage(&self) -> &Crew {
        self.lookers.crew()
    }

    /// Makes a lookout on the threads that ask storage.
    pub(crate) fn lookout<T: Clone + Send + 'static>(
        &self,
        look: impl Fn() -> T + Send + Sync + 'static,
    ) -> Lookout<T> {
        Lookout::by(&self.lookers, look)
    }

    pub(crate) fn makers(&self) -> &Makers {
        &self.threads.makers
    }

    pub(crate) fn threads(&self) -> Threads {
        self.threads.clone()
    }

    /// Returns the sizes of a generation that may use all workers.
    pub(crate) fn all_workers(&self) -> Sizes {
        Sizes::of_workers(self.workers)
    }

    /// Returns `true` if policies have shadows.
    pub(crate) fn has_shadows(&self) -> bool {
        self.shadow_loaders.is_some()
    }

    /// Returns the difference of two actions above which a state counts.
    pub(crate) fn shadow_threshold(&self) -> f64 {
        self.shadow_threshold
    }

    /// Returns `true` if clients may choose the checkpoint that serves.
    pub(crate) fn allows_rollback(&self) -> bool {
        self.allows_rollback
    }

    pub(crate) fn reload_wait(&self) -> Duration {
        self.reload_wait
    }

    pub(super) fn count_load(&self) {
        self.loads.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of checkpoints that were read and handed to the component, of all policies.
    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }
}
