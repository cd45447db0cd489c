//! One checkpoint in service, with the instances that hold it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use sac_owner::Content;
use tracing::warn;

use crate::decisions::line::Author;
use crate::observe::metrics::{CheckpointState, ModelState};
use crate::sandbox::bindings::{Backend, BatchResult as Batch, Outcome, OutputsResult as Outputs, Policy};
use crate::sandbox::cpu_budget::{CallLimits, CpuBudget};
use crate::sandbox::factory::{InstanceFactory, LoadError};
use crate::sandbox::instance::{Instance, InstanceError};
use crate::swap::call::{AnswerError, Call, RequestContext};
use crate::swap::makers::Makers;
use crate::swap::native::Native;
use crate::swap::pool::{Lease, Pool, PoolSize};
use crate::swap::split::{Helpers, Parts};

/// The processor time of a call on a thread of the runtime. The component expects such a call to take a millisecond at most,
/// and does not know every graph.
const SHORT: Duration = Duration::from_millis(5);

/// One checkpoint in service, or none, and the instances that hold it. They are dropped with the generation.
pub(crate) struct Generation {
    /// Counts what was published, from 1. A generation without a checkpoint has the number of the last one, or 0.
    pub(crate) number: u64,
    pub(crate) loaded: Option<Loaded>,
    /// For calls that take microseconds. They run on the runtime's own threads.
    short: Arc<Pool>,
    /// For long calls and benchmarks. They run on threads that may block, and never delay short calls.
    long: Arc<Pool>,
    threads: Threads,
    native: Native,
    overrun: Overrun,
    /// Made by the first decision that goes on record.
    author: OnceLock<Arc<Author>>,
}

/// The threads that work for all generations.
#[derive(Clone)]
pub(crate) struct Threads {
    pub(crate) makers: Arc<Makers>,
    pub(crate) helpers: Arc<Helpers>,
}

/// The numbers of instances of a generation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    short: PoolSize,
    long: PoolSize,
}

/// The checkpoint of a generation.
pub(crate) struct Loaded {
    pub(crate) content: Arc<Content>,
    pub(crate) policy: Policy,
}

/// The result of a short call.
pub(crate) enum Short {
    Done(Outcome),
    /// The call takes longer than it may here. The component expected otherwise.
    Overran,
}

impl Sizes {
    /// An instance for each worker. Those of long calls stay for the next ones.
    pub(crate) fn of_workers(workers: usize) -> Self {
        let size = PoolSize { most: workers.max(1), kept: usize::MAX };
        Sizes { short: size, long: size }
    }

    /// One instance, for which short calls wait. Those of long calls end after their use.
    pub(crate) fn one() -> Self {
        Sizes { short: PoolSize { most: 1, kept: 1 }, long: PoolSize { most: 1, kept: 0 } }
    }
}

impl Generation {
    /// Makes a generation without a checkpoint. Its instances are made when requests need them.
    pub(crate) fn empty(factory: &InstanceFactory, size: Sizes, threads: Threads, number: u64) -> Self {
        let factory = factory.clone();
        Generation::new(number, None, size, threads, vec![], move || factory.instance())
    }

    /// Makes the first instance of a generation without a checkpoint. Blocks.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        self.short.start()
    }

    /// Loads a checkpoint into a first instance, on `backend` if it is given. Blocks.
    pub(crate) fn load(
        factory: &InstanceFactory,
        size: Sizes,
        threads: Threads,
        content: Arc<Content>,
        number: u64,
        backend: Option<Backend>,
    ) -> Result<Self, LoadError> {
        let (first, policy) = factory.loaded_instance(&content, number, backend, true)?;
        let backend = Some(policy.backend);
        let loaded = Loaded { content: content.clone(), policy };
        let make = {
            let factory = factory.clone();
            move || {
                let made = factory.loaded_instance(&content, number, backend, false);
                made.map(|(instance, _)| instance).map_err(|error| anyhow!(error))
            }
        };
        Ok(Generation::new(number, Some(loaded), size, threads, vec![first], make))
    }

    fn new(
        number: u64,
        loaded: Option<Loaded>,
        size: Sizes,
        threads: Threads,
        first: Vec<Instance>,
        make: impl Fn() -> anyhow::Result<Instance> + Clone + Send + Sync + 'static,
    ) -> Self {
        let short = Pool::new(size.short, first, threads.makers.clone(), make.clone());
        let long = Pool::new(size.long, vec![], threads.makers.clone(), make);
        Generation {
            number,
            loaded,
            short,
            long,
            threads,
            native: Native::default(),
            overrun: Overrun::default(),
            author: OnceLock::new(),
        }
    }

    /// Makes the other instances before requests need them. Blocks.
    pub(crate) fn fill(&self) {
        if let Err(error) = self.short.fill() {
            warn!(generation = self.number, "another instance cannot be made: {error:#}");
        }
    }

    /// Hands a call to an instance on this thread.
    pub(crate) async fn answer(&self, call: &Call, context: &RequestContext) -> Result<Short, AnswerError> {
        if self.overrun.contains(&call.path) {
            return Ok(Short::Overran);
        }
        let lease = self.short.lease().await?;
        let limits = CallLimits { is_movable: true, ..SHORT.into() };
        match self.run(lease, call, context, limits, Work { may_block: false, is_alone: false }) {
            Err(InstanceError::Moved) => {
                self.overrun.add(&call.path);
                Ok(Short::Overran)
            }
            outcome => Ok(Short::Done(outcome?)),
        }
    }

    /// Hands a call to an instance that no short call uses. Blocks. With `is_alone`, no other thread helps with it.
    pub(crate) fn answer_blocking(
        &self,
        call: &Call,
        context: &RequestContext,
        limits: CallLimits,
        is_alone: bool,
    ) -> Result<Outcome, AnswerError> {
        let work = Work { may_block: true, is_alone };
        Ok(self.run(self.long.lease_blocking()?, call, context, limits, work)?)
    }

    /// Computes deterministic actions for states. Blocks. The inner error is the component's reason, in one line.
    pub(crate) fn decide(&self, states: &[f32], limits: CallLimits) -> Result<Result<Vec<f32>, String>, AnswerError> {
        let mut lease = self.short.lease_blocking()?;
        let decided = lease.instance.decide(states, None, limits)?;
        lease.give_back();
        Ok(decided)
    }

    /// Runs a call, and returns the instance to its pool unless it failed.
    fn run(
        &self,
        mut lease: Lease,
        call: &Call,
        context: &RequestContext,
        limits: CallLimits,
        work: Work,
    ) -> Result<Outcome, InstanceError> {
        let (start, mut budget) = (Instant::now(), CpuBudget::new(limits.clone()));
        let mut outcome = call.run(&mut lease.instance, context, work.may_block, limits.clone())?;
        while let Outcome::Split(batch) = outcome {
            // Each call has the limits by itself, and a measurement has many of them.
            if budget.is_spent() {
                return Err(lease.instance.at_limit(&budget));
            }
            let outputs = self.compute(&mut lease.instance, batch, &limits, work)?;
            outcome = lease.instance.finish(&call.path, start, &outputs, limits.clone())?;
        }
        lease.give_back();
        Ok(outcome)
    }

    /// Computes the outputs of a batch.
    fn compute(
        &self,
        instance: &mut Instance,
        batch: Batch,
        limits: &CallLimits,
        Work { may_block, is_alone }: Work,
    ) -> Result<Outputs, InstanceError> {
        let state_dim = self.loaded.as_ref().map_or(1, |loaded| loaded.policy.state_dim as usize);
        let native = match may_block {
            true => self.native.make(instance)?,
            false => self.native.get(&self.short, &self.threads.makers),
        };
        instance.metrics().batch(if native.is_some() { "host" } else { "instances" });
        let parts = Arc::new(Parts::new(batch, state_dim, native));
        let helpers = if is_alone { None } else { Some(&*self.threads.helpers) };
        parts.compute_with(helpers, instance, &self.short, limits)
    }

    /// Returns the checkpoint as a record of its decisions names it.
    pub(crate) fn author(&self) -> Option<&Arc<Author>> {
        let loaded = self.loaded.as_ref()?;
        Some(self.author.get_or_init(|| Arc::new(Author::new(self.number, loaded))))
    }

    /// Returns the values that the metrics show.
    pub(crate) fn state(&self, stale: bool) -> ModelState<'_> {
        let checkpoint = self.loaded.as_ref().map(|loaded| CheckpointState {
            path: loaded.content.path.to_string_lossy(),
            format: &loaded.policy.format,
            layout: &loaded.policy.layout,
            backend: loaded.policy.backend.name(),
            sha256: loaded.content.sha256(),
            verified_examples: loaded.policy.verified_examples,
            modified: loaded.content.identity.modified,
            read_at: loaded.content.read_at,
        });
        ModelState { generation: self.number, stale, unseen: None, checkpoint }
    }
}

/// The way in which a call is run.
#[derive(Clone, Copy)]
struct Work {
    may_block: bool,
    /// True if no other thread helps.
    is_alone: bool,
}

/// The routes that took longer than the component expected, with the checkpoint of one generation. Their calls run on
/// threads that may block.
#[derive(Default)]
struct Overrun {
    any: AtomicBool,
    paths: Mutex<Vec<String>>,
}

impl Overrun {
    /// A component that overruns on more paths than it has routes is broken.
    const MAX_PATHS: usize = 16;

    fn contains(&self, path: &str) -> bool {
        self.any.load(Ordering::Relaxed) && self.lock().iter().any(|other| other == path)
    }

    fn add(&self, path: &str) {
        let mut paths = self.lock();
        if paths.len() < Self::MAX_PATHS && !paths.iter().any(|other| other == path) {
            paths.push(path.to_owned());
        }
        self.any.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
