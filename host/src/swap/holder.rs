use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use arc_swap::ArcSwap;
use sac_owner::{Content, Freshness, Refused, Source};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::observe::metrics::Metrics;
use crate::observe::trace;
use crate::swap::generation::{Generation, Loaded, Recipe};
use crate::swap::history::{History, Swap};

/// Holds the generation in service, and keeps it the one that the files call for.
pub(crate) struct Holder {
    source: Source,
    recipe: Recipe,
    reload_wait: Duration,
    /// Read by every request. Written by [`Holder::renew_blocking`] alone.
    service: ArcSwap<InService>,
    /// Held by the one reload that is under way, on whatever thread it runs, so that the request that began it may go.
    reloading: Arc<Mutex<()>>,
    /// Checkpoints that were read and handed to the component, since the start.
    loads: AtomicU64,
    pub(crate) history: History,
}

/// Everything that changes together.
struct InService {
    generation: Arc<Generation>,
    freshness: Freshness,
}

/// What a request is answered by.
pub(crate) struct Current {
    pub(crate) generation: Arc<Generation>,
    pub(crate) refusal: Option<Arc<Refused>>,
}

impl Holder {
    /// Serves nothing yet: the first request, or [`Holder::current`] called ahead of it, loads a checkpoint.
    pub(crate) fn new(source: Source, recipe: Recipe, reload_wait: Duration) -> Result<Arc<Self>> {
        let generation = Arc::new(Generation::empty(&recipe)?);
        let service = ArcSwap::from_pointee(InService { generation, freshness: Freshness::default() });
        let (reloading, loads, history) = Default::default();
        Ok(Arc::new(Holder { source, recipe, reload_wait, service, reloading, loads, history }))
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.recipe.sandbox.metrics
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }

    /// The generation for a request that arrives now, after a reload where the files call for one. With a policy in
    /// service the request waits for the reload at most `reload_wait`.
    pub(crate) async fn current(self: &Arc<Self>) -> Current {
        let (current, changed) = self.judge();
        if !changed {
            return current;
        }
        let reload = self.reload(false);
        if current.generation.loaded.is_some() {
            // What is cut off is the waiting: the reload goes on.
            let _ = timeout(self.reload_wait, reload).await;
        } else {
            let _ = reload.await;
        }
        self.published()
    }

    /// Loads the newest candidate whether it changed or not. The error is for the client who asked.
    pub(crate) async fn force_reload(self: &Arc<Self>) -> Result<(), String> {
        self.reload(true).await
    }

    /// What is in service, without a reload.
    pub(crate) fn published(&self) -> Current {
        self.judge().0
    }

    pub(crate) fn generation(&self) -> u64 {
        self.service.load().generation.number
    }

    fn judge(&self) -> (Current, bool) {
        let service = self.service.load_full();
        let judgement = service.freshness.judge(&self.source);
        let current = Current { generation: service.generation.clone(), refusal: judgement.refusal.cloned() };
        (current, judgement.changed)
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

    /// The one place that publishes. Its caller holds `reloading`.
    fn renew_blocking(&self, forced: bool) -> Result<(), String> {
        let start = Instant::now();
        let before = self.service.load_full();
        let number = before.generation.number + 1;
        let renewal = before.freshness.renew(&self.source, forced, |content| self.load(content, number));
        let duration = start.elapsed();
        for refused in renewal.refused.iter().filter(|refused| !refused.repeated) {
            warn!(path = %refused.path().display(), "checkpoint refused: {}", refused.detail);
            self.note(refused.path(), Err(refused.detail.clone()), duration);
        }
        let generation = renewal.loaded.clone().unwrap_or_else(|| before.generation.clone());
        self.service.store(Arc::new(InService { generation, freshness: renewal.freshness }));
        if let Some(generation) = renewal.loaded {
            self.announce(&generation, duration);
            spawn_blocking(move || generation.fill());
        }
        renewal.outcome
    }

    fn load(&self, content: Content, number: u64) -> Result<Arc<Generation>, String> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        Generation::load(&self.recipe, content, number).map(Arc::new)
    }

    fn announce(&self, generation: &Generation, duration: Duration) {
        let Some(Loaded { path, policy, .. }) = &generation.loaded else { return };
        self.note(path, Ok(generation.number), duration);
        info!(
            path = %path.display(),
            format = policy.format,
            layout = policy.layout,
            activation = policy.activation,
            state_dim = policy.state_dim,
            action_dim = policy.action_dim,
            stochastic = policy.stochastic,
            generation = generation.number,
            duration_ms = duration.as_micros() as f64 / 1e3,
            "checkpoint in service"
        );
    }

    fn note(&self, path: &Path, outcome: Result<u64, String>, duration: Duration) {
        self.metrics().reloaded(outcome.is_ok(), duration);
        self.history.add(Swap::new(path.to_string_lossy().into_owned(), outcome, duration));
    }
}
