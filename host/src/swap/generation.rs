//! One checkpoint in service, with the instances that hold it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::anyhow;
use sac_owner::Content;
use thiserror::Error;
use tokio::task::{JoinError, spawn_blocking};
use tracing::{Span, warn};

use crate::observe::metrics::{CheckpointState, ModelState};
use crate::sandbox::bindings::{Outcome, Policy};
use crate::sandbox::factory::InstanceFactory;
use crate::sandbox::instance::{Instance, InstanceError};
use crate::swap::call::{Call, RequestContext};
use crate::swap::pool::{Lease, NoInstance, Pool};

/// One checkpoint in service, or none, and the instances that hold it. They are dropped with the generation.
pub(crate) struct Generation {
    /// Counts what was published, from 1. Generation 0 holds no checkpoint.
    pub(crate) number: u64,
    pub(crate) loaded: Option<Loaded>,
    /// For calls that take microseconds. They run on the runtime's own threads.
    short: Arc<Pool>,
    /// For long calls. They run on threads that may block, and never delay short calls.
    long: Arc<Pool>,
    /// For benchmarks. One runs at a time, so that they do not measure each other, and they delay no other long call.
    benchmark: Arc<Pool>,
}

/// The checkpoint of a generation.
pub(crate) struct Loaded {
    pub(crate) path: PathBuf,
    pub(crate) modified: SystemTime,
    pub(crate) read_at: SystemTime,
    pub(crate) sha256: String,
    pub(crate) policy: Policy,
}

/// The error of a call that a generation does not answer.
#[derive(Debug, Error)]
pub(crate) enum AnswerError {
    #[error(transparent)]
    NoInstance(#[from] NoInstance),
    #[error(transparent)]
    Instance(#[from] InstanceError),
    #[error("the call did not finish")]
    Thread(#[from] JoinError),
}

impl Generation {
    /// Makes a generation without a checkpoint, with at most `size` instances. Blocks for the first instance.
    pub(crate) fn empty(factory: &InstanceFactory, size: usize) -> anyhow::Result<Self> {
        let make = {
            let factory = factory.clone();
            move || factory.instance()
        };
        let first = make()?;
        Ok(Generation::new(0, None, size, first, make))
    }

    /// Loads a checkpoint into a first instance of at most `size`. Blocks. The error says in one line why the checkpoint is
    /// refused.
    pub(crate) fn load(factory: &InstanceFactory, size: usize, content: Content, number: u64) -> Result<Self, String> {
        let content = Arc::new(content);
        let (first, policy) = factory.loaded_instance(&content, number, None)?;
        let backend = Some(policy.backend);
        let loaded = Loaded {
            path: content.path.clone(),
            modified: content.identity.modified,
            read_at: content.read_at,
            sha256: content.sha256.clone(),
            policy,
        };
        let make = {
            let factory = factory.clone();
            move || {
                let made = factory.loaded_instance(&content, number, backend);
                made.map(|(instance, _)| instance).map_err(|error| anyhow!(error))
            }
        };
        Ok(Generation::new(number, Some(loaded), size, first, make))
    }

    fn new(
        number: u64,
        loaded: Option<Loaded>,
        size: usize,
        first: Instance,
        make: impl Fn() -> anyhow::Result<Instance> + Clone + Send + Sync + 'static,
    ) -> Self {
        let short = Pool::new(size, vec![first], make.clone());
        let long = Pool::new(size, vec![], make.clone());
        let benchmark = Pool::new(1, vec![], make);
        Generation { number, loaded, short, long, benchmark }
    }

    /// Makes the other instances before requests need them. Blocks.
    pub(crate) fn fill(&self) {
        if let Err(error) = self.short.fill() {
            warn!(generation = self.number, "another instance cannot be made: {error:#}");
        }
    }

    /// Hands a call to an instance on this thread. If the component answers that the call takes long, hands it to another
    /// instance on a thread that may block.
    pub(crate) async fn answer(&self, call: &Arc<Call>, context: &Arc<RequestContext>) -> Result<Outcome, AnswerError> {
        let lease = self.short.lease().await?;
        let pool = match run(lease, call, context, false)? {
            Outcome::Long => &self.long,
            Outcome::Benchmark => &self.benchmark,
            outcome => return Ok(outcome),
        };
        let lease = pool.lease().await?;
        let (call, context) = (call.clone(), context.clone());
        let span = Span::current();
        Ok(spawn_blocking(move || span.in_scope(|| run(lease, &call, &context, true))).await??)
    }

    /// Returns the values that the metrics show.
    pub(crate) fn state(&self, stale: bool) -> ModelState<'_> {
        let checkpoint = self.loaded.as_ref().map(|loaded| CheckpointState {
            path: loaded.path.to_string_lossy(),
            format: &loaded.policy.format,
            layout: &loaded.policy.layout,
            backend: loaded.policy.backend.name(),
            sha256: &loaded.sha256,
            verified_examples: loaded.policy.verified_examples,
            modified: loaded.modified,
            read_at: loaded.read_at,
        });
        ModelState { generation: self.number, stale, checkpoint }
    }
}

/// Runs a call, and returns the instance to its pool unless it failed.
fn run(mut lease: Lease, call: &Call, context: &RequestContext, may_block: bool) -> Result<Outcome, InstanceError> {
    let outcome = call.run(&mut lease.instance, context, may_block)?;
    lease.give_back();
    Ok(outcome)
}
