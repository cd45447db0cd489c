//! The generation in service, and the reload that replaces it. Only [`Holder::renew_blocking`] publishes.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use sac_owner::{Absence, Content, Freshness, Refused, Source};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::Config;
use crate::observe::metrics::Metrics;
use crate::observe::trace;
use crate::sandbox::factory::{InstanceFactory, SetupError};
use crate::swap::generation::{Generation, Loaded};
use crate::swap::history::{History, Swap};

/// Holds the generation in service, and keeps it up to date with the files.
pub(crate) struct Holder {
    source: Source,
    factory: InstanceFactory,
    /// The number of instances of a generation.
    size: usize,
    reload_wait: Duration,
    /// Read by every request. Written only by [`Holder::renew_blocking`].
    published: ArcSwap<Published>,
    /// Held by the reload under way, on its own thread, so that the request that began it may be dropped.
    reloading: Arc<Mutex<()>>,
    /// The reason for the absence of candidates that was logged last.
    absence: StdMutex<Option<Absence>>,
    /// The number of checkpoints that were read and handed to the component.
    loads: AtomicU64,
    pub(crate) history: History,
}

/// Everything that changes together.
struct Published {
    generation: Arc<Generation>,
    freshness: Freshness,
}

/// The part of the published state that a request needs.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) generation: Arc<Generation>,
    /// The newest checkpoint, if it was refused.
    pub(crate) refusal: Option<Arc<Refused>>,
    /// The reason why there is no candidate, if the folder has other files and no policy is in service.
    pub(crate) absence: Option<Arc<str>>,
}

impl Holder {
    /// Makes a holder without a checkpoint, and blocks for an instance. The first call of [`Holder::current`] loads a
    /// checkpoint.
    pub(crate) fn new(config: &Config) -> Result<Arc<Self>, SetupError> {
        let factory = InstanceFactory::new(config)?;
        let size = config.workers.max(1);
        let generation = Arc::new(Generation::empty(&factory, size).map_err(SetupError::Start)?);
        let published = ArcSwap::from_pointee(Published { generation, freshness: Freshness::default() });
        let (reloading, absence, loads, history) = Default::default();
        let (source, reload_wait) = (config.source.clone(), config.reload_wait);
        Ok(Arc::new(Holder { source, factory, size, reload_wait, published, reloading, absence, loads, history }))
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.factory.metrics()
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }

    /// Returns the generation for a request that arrives now, and reloads first if the files changed. With a policy in
    /// service, waits for the reload at most `reload_wait`.
    pub(crate) async fn current(self: &Arc<Self>) -> Snapshot {
        let (snapshot, changed) = self.judge();
        if !changed {
            return snapshot;
        }
        let reload = self.reload(false);
        if snapshot.generation.loaded.is_some() {
            // The timeout ends the wait. The reload goes on.
            let _ = timeout(self.reload_wait, reload).await;
        } else {
            let _ = reload.await;
        }
        self.snapshot()
    }

    /// Loads the newest candidate, changed or not. The error is for the client that asked for the reload.
    pub(crate) async fn force_reload(self: &Arc<Self>) -> Result<(), String> {
        self.reload(true).await
    }

    /// Returns what is in service, without a reload.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.judge().0
    }

    /// Returns what is in service, and `true` if the files call for a reload.
    fn judge(&self) -> (Snapshot, bool) {
        let published = self.published.load_full();
        let judgement = published.freshness.judge(&self.source);
        let generation = published.generation.clone();
        let absence = if generation.loaded.is_none() { self.absence() } else { None };
        (Snapshot { generation, refusal: judgement.refusal.cloned(), absence }, judgement.changed)
    }

    /// Returns the reason why there is no candidate. Logs it once.
    fn absence(&self) -> Option<Arc<str>> {
        let now = self.source.absence();
        let mut logged = self.absence.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(absence) = now.as_ref().filter(|_| logged.is_none()) {
            let (folder, example) = (self.source.path().display(), &absence.example);
            warn!("no candidate in {folder}: {absence}. One of its files is {example}");
        }
        logged.clone_from(&now);
        now.map(|absence| absence.to_string().into())
    }

    async fn reload(self: &Arc<Self>, forced: bool) -> Result<(), String> {
        let guard = self.reloading.clone().lock_owned().await;
        if !forced && !self.judge().1 {
            return Ok(());
        }
        let (holder, span) = (self.clone(), trace::reload(forced));
        let reload = spawn_blocking(move || {
            let outcome = span.in_scope(|| holder.renew_blocking(forced));
            drop(guard);
            outcome
        });
        reload.await.unwrap_or_else(|error| Err(format!("the reload failed: {error}")))
    }

    /// Reads, loads and publishes. The caller holds `reloading`.
    fn renew_blocking(&self, forced: bool) -> Result<(), String> {
        let start = Instant::now();
        let before = self.published.load_full();
        let number = before.generation.number + 1;
        let renewal = before.freshness.renew(&self.source, forced, |content| self.load(content, number));
        let duration = start.elapsed();
        for refused in renewal.refused.iter().filter(|refused| !refused.repeated) {
            warn!(path = %refused.path().display(), "checkpoint refused: {}", refused.detail);
            self.record(refused.path(), Err(refused.detail.clone()), duration);
        }
        let generation = renewal.loaded.clone().unwrap_or_else(|| before.generation.clone());
        self.published.store(Arc::new(Published { generation, freshness: renewal.freshness }));
        if let Some(generation) = renewal.loaded {
            self.announce(&generation, duration);
            spawn_blocking(move || generation.fill());
        }
        renewal.outcome.map_err(|error| error.to_string())
    }

    fn load(&self, content: Content, number: u64) -> Result<Arc<Generation>, String> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        Generation::load(&self.factory, self.size, content, number).map(Arc::new)
    }

    fn announce(&self, generation: &Generation, duration: Duration) {
        let Some(Loaded { path, policy, .. }) = &generation.loaded else { return };
        self.record(path, Ok(generation.number), duration);
        info!(
            path = %path.display(),
            format = policy.format,
            layout = policy.layout,
            activation = policy.fact("activation"),
            state_dim = policy.state_dim,
            action_dim = policy.action_dim,
            stochastic = policy.stochastic,
            verified_examples = policy.verified_examples,
            generation = generation.number,
            duration_ms = duration.as_micros() as f64 / 1e3,
            "checkpoint in service"
        );
    }

    fn record(&self, path: &Path, outcome: Result<u64, String>, duration: Duration) {
        self.metrics().reloaded(outcome.is_ok(), duration);
        self.history.add(Swap::new(path.to_string_lossy().into_owned(), outcome, duration));
    }
}
