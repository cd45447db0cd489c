//! Replaces the checkpoint in service by a newer one. Only [`Publisher::publish`] publishes.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use sac_owner::{Candidate, Content, Failure, Freshness, Refused, Source, path_line, resolve};
use tracing::{Span, info};

use crate::observe::metrics::Metrics;
use crate::observe::trace;
use crate::sandbox::factory::InstanceFactory;
use crate::swap::absence_log::AbsenceLog;
use crate::swap::generation::{Generation, Loaded};
use crate::swap::history::{History, Swap};
use crate::swap::own::Own;
use crate::swap::passed_over_log::PassedOverLog;
use crate::swap::shared::Shared;
use crate::swap::snapshot::Snapshot;

/// The state that requests, the thread that looks and the thread that reloads share.
pub(crate) struct Publisher {
    pub(super) own: Own,
    pub(super) shared: Arc<Shared>,
    /// Read by every request. Written only by [`Publisher::publish`].
    pub(super) published: ArcSwap<Published>,
    /// Locked from the choice of a number until its generation is published or given up.
    pub(super) numbers: Mutex<()>,
    /// The time from `started` to the last look, in nanoseconds. Written by every look.
    pub(super) seen: AtomicU64,
    pub(super) started: Instant,
    /// The refusal that the last look saw, for requests that cannot wait for another.
    pub(super) refusal: ArcSwapOption<Refused>,
    /// When the reload under way began. Written by the thread that reloads.
    reloading_since: Mutex<Option<Instant>>,
    pub(super) absences: AbsenceLog,
    pub(super) passed_over: PassedOverLog,
    history: History,
}

/// Everything that changes together.
pub(super) struct Published {
    pub(super) generation: Arc<Generation>,
    pub(super) freshness: Freshness,
}

/// Asks for a reload.
pub(crate) struct Question {
    /// True if it is to take place even if nothing changed.
    pub(crate) forced: bool,
    /// The span of the request that asks.
    pub(crate) span: Span,
}

/// The result of a reload, with what is in service after it.
#[derive(Clone)]
pub(crate) struct Reloaded {
    /// The error is for the client that asked for the reload.
    pub(crate) outcome: Result<(), String>,
    pub(crate) snapshot: Snapshot,
}

impl Publisher {
    /// Makes the state without a checkpoint, and no instance yet.
    pub(crate) fn new(shared: Arc<Shared>, own: Own) -> Self {
        let generation = Arc::new(Generation::empty(&own.factory, own.sizes, shared.threads(), own.number));
        Publisher {
            own,
            shared,
            published: ArcSwap::from_pointee(Published { generation, freshness: Freshness::default() }),
            numbers: Mutex::default(),
            seen: AtomicU64::new(0),
            started: Instant::now(),
            refusal: ArcSwapOption::empty(),
            reloading_since: Mutex::default(),
            absences: AbsenceLog::default(),
            passed_over: PassedOverLog::default(),
            history: History::default(),
        }
    }

    /// Makes the first instance, for requests that come before there is a checkpoint. Blocks.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        self.published.load().generation.start()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.shared.metrics()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn source(&self) -> &Source {
        &self.own.source
    }

    pub(super) fn factory(&self) -> &InstanceFactory {
        &self.own.factory
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn has_policy(&self) -> bool {
        self.published.load().generation.loaded.is_some()
    }

    /// Returns when the reload under way began.
    pub(crate) fn reloading_since(&self) -> Option<Instant> {
        *lock(&self.reloading_since)
    }

    /// Reloads if the files changed, or if one of those who ask forces it. Runs on one thread at a time.
    pub(crate) fn reload(self: &Arc<Self>, asked: &[Question]) -> Reloaded {
        *lock(&self.reloading_since) = Some(Instant::now());
        let forced = asked.iter().find(|question| question.forced);
        let outcome = match forced.or(asked.first()) {
            Some(Question { forced, span }) if *forced || self.look().changed => {
                let span = span.in_scope(|| trace::reload(*forced));
                span.in_scope(|| self.renew(*forced))
            }
            _ => Ok(()),
        };
        *lock(&self.reloading_since) = None;
        Reloaded { outcome, snapshot: self.look().snapshot }
    }

    /// Returns the refusal of a candidate that is known to be refused.
    pub(crate) fn refusal(&self, candidate: &Candidate) -> Option<Arc<Refused>> {
        self.published.load().freshness.refusal(candidate, self.source()).cloned()
    }

    /// Reads, loads and publishes.
    fn renew(self: &Arc<Self>, forced: bool) -> Result<(), String> {
        let start = Instant::now();
        let _numbers = lock(&self.numbers);
        let before = self.published.load_full();
        let number = before.generation.number + 1;
        let load = |content: Content| self.load(content.into(), number);
        let renewal = before.freshness.renew(self.source(), forced, load);
        let duration = start.elapsed();
        for refused in renewal.refused.iter().filter(|refused| !refused.repeated) {
            self.shared.refusals.add(&refused.resolved, &refused.detail);
            self.record(&refused.resolved, Err(refused.detail.clone()), duration);
        }
        let generation = renewal.loaded.clone().unwrap_or_else(|| before.generation.clone());
        self.publish(generation, renewal.freshness);
        if let Some(generation) = renewal.loaded {
            self.announce(&generation, duration);
            // Its instances end before those of the new generation are made: memory may not suffice for both.
            drop(before);
            self.complete(&generation);
        }
        renewal.outcome.map_err(|error| error.to_string())
    }

    pub(super) fn publish(&self, generation: Arc<Generation>, freshness: Freshness) {
        self.published.store(Arc::new(Published { generation, freshness }));
    }

    pub(super) fn load(&self, content: Arc<Content>, number: u64) -> Result<Arc<Generation>, Failure> {
        self.check_bounds(&content)?;
        self.shared.count_load();
        let backend = self.shared.comparisons.backend(&content);
        let load = || {
            let (own, threads) = (&self.own, self.shared.threads());
            Generation::load(&own.factory, own.sizes, threads, content.clone(), number, backend)
        };
        self.shared.makers().relieve();
        let loaded = load().or_else(|error| {
            if !error.may_pass() {
                return Err(error);
            }
            self.shared.makers().make_room();
            load()
        });
        loaded.map(Arc::new).map_err(|error| Failure { may_pass: error.may_pass(), detail: error.to_string() })
    }

    /// Refuses a checkpoint that lies outside the bounds, wherever the symlinks on its path lead from one moment to the next.
    fn check_bounds(&self, content: &Content) -> Result<(), Failure> {
        let Some(bounds) = &self.own.bounds else { return Ok(()) };
        let bounds = resolve(bounds).map_err(|error| Failure { detail: error.to_string(), may_pass: true })?;
        if content.path.starts_with(&bounds) {
            return Ok(());
        }
        Err("it is reached by a symlink that leads out of the root folder (--root)".to_owned().into())
    }

    pub(super) fn announce(&self, generation: &Generation, duration: Duration) {
        let Some(Loaded { content, policy }) = &generation.loaded else { return };
        let path = &content.path;
        self.shared.refusals.forget(path);
        self.record(path, Ok(generation.number), duration);
        info!(
            path = %path_line(path),
            format = policy.format,
            layout = policy.layout,
            activation = policy.fact("activation"),
            state_dim = policy.state_dim,
            action_dim = policy.action_dim,
            stochastic = policy.stochastic,
            by_convention = policy.conventions(),
            verified_examples = policy.verified_examples,
            generation = generation.number,
            duration_ms = duration.as_micros() as f64 / 1e3,
            "{}",
            if self.own.is_shadow { "checkpoint in shadow" } else { "checkpoint in service" }
        );
    }

    fn record(&self, path: &Path, outcome: Result<u64, String>, duration: Duration) {
        let is_ok = outcome.is_ok();
        let swap = Swap::new(path.to_string_lossy().into_owned(), outcome, duration);
        if !self.own.is_shadow {
            self.metrics().reloaded(is_ok, duration);
            self.metrics().timeline.mark(swap.mark());
        }
        self.history.add(swap);
    }
}

/// Locks a value that no panic can leave half written.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
