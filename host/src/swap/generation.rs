use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use sac_owner::{Content, since_epoch};
use tokio::task::spawn_blocking;
use tracing::{Span, warn};

use crate::config::Config;
use crate::http::error::Failure;
use crate::observe::metrics::Metrics;
use crate::observe::trace;
use crate::sandbox::Sandbox;
use crate::sandbox::artefact;
use crate::sandbox::bindings::{
    self, Backend, Body, Checkpoint, File, Instant, Outcome, Policy, Refusal, Request, RequestContext,
};
use crate::sandbox::engine::engine;
use crate::sandbox::instance::{Broken, Instance};
use crate::swap::pool::{Lease, Pool};

/// One checkpoint in service, or none, and the instances that hold it. They belong to it and end with it.
pub(crate) struct Generation {
    /// Counts what was published, from 1; 0 holds no checkpoint.
    pub(crate) number: u64,
    pub(crate) loaded: Option<Loaded>,
    /// For requests that take microseconds, on the runtime's own threads.
    short: Arc<Pool>,
    /// For those that take long, on threads that may block: they never hold up the others.
    long: Arc<Pool>,
    /// For benchmarks, one at a time, so that they measure neither each other nor hold up what is long.
    benchmark: Arc<Pool>,
}

/// What a generation serves.
pub(crate) struct Loaded {
    pub(crate) path: PathBuf,
    pub(crate) modified: SystemTime,
    pub(crate) read_at: SystemTime,
    pub(crate) sha256: String,
    pub(crate) policy: Policy,
}

/// What instances are made of, besides a checkpoint.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) config: bindings::RouterConfig,
    pub(crate) size: usize,
}

/// A request as it is handed to the component, as often as that asks for it.
pub(crate) struct Call {
    pub(crate) method: http::Method,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// None when it is over the limit.
    pub(crate) body: Option<Bytes>,
}

/// How things stand for a [`Call`].
pub(crate) struct Standing {
    pub(crate) tokens: Arc<[String]>,
    pub(crate) refusal: Option<Arc<sac_owner::Refused>>,
    pub(crate) reloaded: Option<Result<(), String>>,
}

impl Generation {
    /// A generation without a checkpoint. Blocks for an instance.
    pub(crate) fn empty(recipe: &Recipe) -> Result<Self> {
        let make = {
            let recipe = recipe.clone();
            move || recipe.instance()
        };
        let first = make()?;
        Ok(Generation::of(0, None, recipe.size, first, make))
    }

    /// Loads a checkpoint into a first instance. Blocks. The error says in one line why it is refused.
    pub(crate) fn load(recipe: &Recipe, content: Content, number: u64) -> Result<Self, String> {
        let content = Arc::new(content);
        let (first, policy) = recipe.loaded_instance(&content, number, None)?;
        let backend = Some(policy.backend);
        let loaded = Loaded {
            path: content.path.clone(),
            modified: content.identity.modified,
            read_at: content.read_at,
            sha256: content.sha256.clone(),
            policy,
        };
        let make = {
            let recipe = recipe.clone();
            move || {
                let made = recipe.loaded_instance(&content, number, backend);
                made.map(|(instance, _)| instance).map_err(|error| anyhow!(error))
            }
        };
        Ok(Generation::of(number, Some(loaded), recipe.size, first, make))
    }

    fn of(
        number: u64,
        loaded: Option<Loaded>,
        size: usize,
        first: Instance,
        make: impl Fn() -> Result<Instance> + Clone + Send + Sync + 'static,
    ) -> Self {
        let short = Pool::new(size, vec![first], make.clone());
        let long = Pool::new(size, vec![], make.clone());
        let benchmark = Pool::new(1, vec![], make);
        Generation { number, loaded, short, long, benchmark }
    }

    /// Makes the other instances, before requests need them. Blocks.
    pub(crate) fn fill(&self) {
        if let Err(error) = self.short.fill() {
            warn!(generation = self.number, "a further instance could not be made: {error:#}");
        }
    }

    /// Hands a call to an instance: on this thread, and again on one that may block where the component asks for it.
    pub(crate) async fn answer(&self, call: &Arc<Call>, standing: &Arc<Standing>) -> Result<Outcome, Failure> {
        let lease = self.short.lease().await?;
        let pool = match run(lease, call, standing, false)? {
            Outcome::Long => &self.long,
            Outcome::Benchmark => &self.benchmark,
            outcome => return Ok(outcome),
        };
        let lease = pool.lease().await?;
        let (call, standing) = (call.clone(), standing.clone());
        let span = Span::current();
        let answered = spawn_blocking(move || span.in_scope(|| run(lease, &call, &standing, true))).await;
        Ok(answered.map_err(|error| Failure::Internal(error.into()))??)
    }
}

impl Recipe {
    /// Compiles the component, or maps it where it was compiled before. Blocks.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let engine = engine()?;
        let component = artefact::load_or_compile(&engine, config.component.as_deref(), config.cache_dir.as_deref())?;
        Ok(Recipe {
            sandbox: Arc::new(Sandbox::new(engine, &component, config.sandbox.clone(), Arc::new(Metrics::new()?))?),
            config: bindings::RouterConfig {
                optimised: config.jit,
                activation: config.activation.map(Into::into),
                on_refusal: config.on_bad_checkpoint.into(),
                max_batch: config.max_batch,
                max_body_bytes: config.max_body_bytes as u64,
            },
            size: config.workers.max(1),
        })
    }

    pub(crate) fn instance(&self) -> Result<Instance> {
        Instance::new(self.sandbox.clone(), self.config)
    }

    /// `backend` is what another instance found for the same content.
    pub(crate) fn loaded_instance(
        &self,
        content: &Content,
        number: u64,
        backend: Option<Backend>,
    ) -> Result<(Instance, Policy), String> {
        let mut instance = self.instance().map_err(|error| format!("no instance of the component: {error:#}"))?;
        let path = content.path.to_string_lossy();
        let checkpoint = Checkpoint {
            path: &path,
            modified: instant(content.identity.modified),
            loaded: instant(content.read_at),
            sha256: &content.sha256,
            generation: number,
        };
        let policy = instance.load(checkpoint, file(content), backend).map_err(|broken| broken.to_string())??;
        Ok((instance, policy))
    }
}

fn run(mut lease: Lease, call: &Call, standing: &Standing, may_block: bool) -> Result<Outcome, Broken> {
    let path = standing.refusal.as_ref().map(|refused| refused.path().to_string_lossy());
    let refusal = standing.refusal.as_ref().zip(path.as_deref()).map(|(refused, path)| Refusal {
        path,
        modified: instant(refused.modified()),
        detail: &refused.detail,
        at: instant(refused.at),
    });
    let tokens = standing.tokens.iter().map(String::as_str).collect::<Vec<_>>();
    let reloaded = standing.reloaded.as_ref().map(|reloaded| reloaded.as_ref().copied().map_err(String::as_str));
    let request = Request {
        method: call.method.as_str(),
        path: &call.path,
        authorization: call.authorization.as_deref(),
        body: call.body.as_ref().map_or(Body::OverLimit, |body| Body::Complete(body)),
    };
    let context = RequestContext { tokens: &tokens, refusal, reloaded, may_block };
    let outcome = trace::call(may_block).in_scope(|| lease.instance.answer(request, context));
    if outcome.is_ok() {
        lease.give_back();
    }
    outcome
}

/// What the component reads of it.
pub(crate) fn file(content: &Content) -> File<'_> {
    File { bytes: &content.bytes, vecnormalize: content.statistics.as_ref().map(|statistics| &statistics.bytes[..]) }
}

fn instant(time: SystemTime) -> Instant {
    let (seconds, nanoseconds) = since_epoch(time);
    Instant { seconds, nanoseconds }
}
