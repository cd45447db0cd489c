//! The generation in service, and the reload that replaces it. Only [`Core::renew`] publishes.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use sac_owner::{Absence, Content, Failure, Freshness, Refused, Source, path_line};
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use tracing::{Span, info, warn};

use crate::config::Config;
use crate::observe::metrics::Metrics;
use crate::observe::trace;
use crate::sandbox::factory::{InstanceFactory, SetupError};
use crate::swap::generation::{Generation, Loaded};
use crate::swap::history::{History, Swap};
use crate::swap::snapshot::Snapshot;
use crate::work::crew::Crew;
use crate::work::lookout::Lookout;
use crate::work::repeated::Repeated;

/// Holds the generation in service, and keeps it up to date with the files.
pub(crate) struct Holder {
    core: Arc<Core>,
    /// Compares the files with those in service.
    looks: Lookout<Look>,
    /// Loads what is new.
    reloads: Repeated<Question, Reloaded>,
    reload_wait: Duration,
}

/// What requests and both threads share.
struct Core {
    source: Source,
    factory: InstanceFactory,
    /// The number of instances of a generation.
    size: usize,
    /// Read by every request. Written only by [`Core::renew`].
    published: ArcSwap<Published>,
    /// The time from `started` to the last look, in nanoseconds. Written by every look.
    seen: AtomicU64,
    started: Instant,
    /// The refusal that the last look saw, for requests that cannot wait for another.
    refusal: ArcSwapOption<Refused>,
    /// When the reload under way began. Written by the thread that reloads.
    reloading_since: Mutex<Option<Instant>>,
    /// The reason for the absence of candidates that was logged last.
    absence: Mutex<Option<Absence>>,
    /// The number of checkpoints that were read and handed to the component.
    loads: AtomicU64,
    /// Makes instances, and drops those of old generations.
    makers: Arc<Crew>,
    history: History,
}

/// Everything that changes together.
struct Published {
    generation: Arc<Generation>,
    freshness: Freshness,
}

/// The result of comparing the files with those in service.
#[derive(Clone)]
struct Look {
    snapshot: Snapshot,
    /// True if the files call for a reload.
    changed: bool,
    /// True if the reload is not known to take long.
    is_quick: bool,
}

/// Asks for a reload.
struct Question {
    /// True if it is to take place even if nothing changed.
    forced: bool,
    /// The span of the request that asks.
    span: Span,
}

/// The result of a reload, with what is in service after it.
#[derive(Clone)]
pub(crate) struct Reloaded {
    /// The error is for the client that asked for the reload.
    pub(crate) outcome: Result<(), String>,
    pub(crate) snapshot: Snapshot,
}

impl Holder {
    /// Makes a holder without a checkpoint, and blocks for an instance. The first call of [`Holder::current`] loads a
    /// checkpoint.
    pub(crate) fn new(config: &Config) -> Result<Self, SetupError> {
        let factory = InstanceFactory::new(config)?;
        let makers = Arc::new(Crew::new("sac-instances", 1));
        let size = config.workers.max(1);
        let generation = Arc::new(Generation::empty(&factory, size, makers.clone()).map_err(SetupError::Start)?);
        let core = Arc::new(Core {
            source: config.source.clone(),
            factory,
            size,
            published: ArcSwap::from_pointee(Published { generation, freshness: Freshness::default() }),
            seen: AtomicU64::new(0),
            started: Instant::now(),
            refusal: ArcSwapOption::empty(),
            reloading_since: Mutex::default(),
            absence: Mutex::default(),
            loads: AtomicU64::new(0),
            makers,
            history: History::default(),
        });
        let looking = core.clone();
        let looks = Lookout::new("sac-files", move || looking.look());
        let reloading = core.clone();
        let reloads = Repeated::new("sac-reload", move |asked: Vec<Question>| reloading.reload(&asked));
        Ok(Holder { core, looks, reloads, reload_wait: config.reload_wait })
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.core.factory.metrics()
    }

    pub(crate) fn source(&self) -> &Source {
        &self.core.source
    }

    pub(crate) fn history(&self) -> &History {
        &self.core.history
    }

    pub(crate) fn loads(&self) -> u64 {
        self.core.loads.load(Ordering::Relaxed)
    }

    /// Returns the time since the files were seen.
    pub(crate) fn unseen_for(&self) -> Duration {
        self.core.unseen_for()
    }

    /// Returns the generation for a request that arrives now, and reloads first if the files changed. With a policy in
    /// service, waits for the files and for the reload at most `reload_wait`, and not at all for a reload that takes longer.
    pub(crate) async fn current(&self) -> Snapshot {
        if self.core.published.load().generation.loaded.is_some() {
            return self.current_soon().await;
        }
        let Look { snapshot, changed, .. } = self.looks.look_patiently().await;
        if !changed {
            return snapshot;
        }
        self.ask(false).await.map_or_else(|_| self.core.latest(), |reloaded| reloaded.snapshot)
    }

    /// Returns as [`Holder::current`] does, but within `reload_wait` even if there is no policy in service.
    pub(crate) async fn current_soon(&self) -> Snapshot {
        let arrival = Instant::now();
        let Some(Look { snapshot, changed, is_quick }) = self.looks.look(self.reload_wait).await else {
            return self.core.unseen();
        };
        if !changed {
            return snapshot;
        }
        let began = lock(&self.core.reloading_since).map_or(arrival, |since| since.min(arrival));
        let reload = self.ask(false);
        if !is_quick {
            return self.core.latest();
        }
        // The deadline ends the wait. The reload goes on.
        match timeout_at((began + self.reload_wait).into(), reload).await {
            Ok(Ok(reloaded)) => reloaded.snapshot,
            _ => self.core.latest(),
        }
    }

    /// Loads the newest candidate, changed or not. All who ask before the reload begins share it.
    pub(crate) async fn force_reload(&self) -> Reloaded {
        self.ask(true).await.unwrap_or_else(|_| {
            let outcome = Err("the reload ended by a fault of this program, which the log describes".to_owned());
            Reloaded { outcome, snapshot: self.core.latest() }
        })
    }

    fn ask(&self, forced: bool) -> oneshot::Receiver<Reloaded> {
        self.reloads.ask(Question { forced, span: Span::current() })
    }

    /// Returns what is in service, without a look at the files.
    pub(crate) fn latest(&self) -> Snapshot {
        self.core.latest()
    }
}

impl Core {
    fn look(&self) -> Look {
        let at = self.started.elapsed();
        let published = self.published.load_full();
        let judgement = published.freshness.judge(&self.source);
        let refusal = judgement.refusal.cloned();
        self.seen.store(at.as_nanos() as u64, Ordering::Relaxed);
        let known = self.refusal.load().as_ref().map(Arc::as_ptr);
        if known != refusal.as_ref().map(Arc::as_ptr) {
            self.refusal.store(refusal.clone());
        }
        let generation = published.generation.clone();
        let absence = if generation.loaded.is_none() { self.absence() } else { None };
        let (changed, is_quick) = (judgement.changed, judgement.is_quick);
        Look { snapshot: Snapshot { generation, refusal, absence }, changed, is_quick }
    }

    /// Returns what is in service, with the refusal that was seen last.
    fn latest(&self) -> Snapshot {
        let generation = self.published.load().generation.clone();
        Snapshot { generation, refusal: self.refusal.load_full(), absence: None }
    }

    /// Returns what is in service, for a request that could not see the files.
    fn unseen(&self) -> Snapshot {
        self.latest().unseen(SystemTime::now() - self.unseen_for())
    }

    fn unseen_for(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_nanos(self.seen.load(Ordering::Relaxed)))
    }

    /// Returns the reason why there is no candidate. Logs it once.
    fn absence(&self) -> Option<Arc<str>> {
        let now = self.source.absence();
        let mut logged = lock(&self.absence);
        if let Some(absence) = now.as_ref().filter(|_| logged.is_none()) {
            let (folder, example) = (path_line(self.source.path()), &absence.example);
            warn!("no candidate in {folder}: {absence}. One of its files is {example}");
        }
        logged.clone_from(&now);
        now.map(|absence| absence.to_string().into())
    }

    /// Reloads if the files changed, or if one of those who ask forces it. Runs on one thread only.
    fn reload(&self, asked: &[Question]) -> Reloaded {
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

    /// Reads, loads and publishes.
    fn renew(&self, forced: bool) -> Result<(), String> {
        let start = Instant::now();
        let before = self.published.load_full();
        let number = before.generation.number + 1;
        let renewal = before.freshness.renew(&self.source, forced, |content| self.load(content, number));
        let duration = start.elapsed();
        for refused in renewal.refused.iter().filter(|refused| !refused.repeated) {
            warn!(path = %path_line(refused.path()), "checkpoint refused: {}", refused.detail);
            self.record(refused.path(), Err(refused.detail.clone()), duration);
        }
        let generation = renewal.loaded.clone().unwrap_or_else(|| before.generation.clone());
        self.published.store(Arc::new(Published { generation, freshness: renewal.freshness }));
        if let Some(generation) = renewal.loaded {
            self.announce(&generation, duration);
            // Dropping the instances of the generation before takes time, and so does making the new ones.
            // Without a thread, the first happens at once, and requests make the instances.
            let _ = self.makers.send(move || drop(before));
            let _ = self.makers.send(move || generation.fill());
        }
        renewal.outcome.map_err(|error| error.to_string())
    }

    fn load(&self, content: Content, number: u64) -> Result<Arc<Generation>, Failure> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let loaded = Generation::load(&self.factory, self.size, self.makers.clone(), content, number);
        loaded.map(Arc::new).map_err(|error| Failure { may_pass: error.may_pass(), detail: error.to_string() })
    }

    fn announce(&self, generation: &Generation, duration: Duration) {
        let Some(Loaded { path, policy, .. }) = &generation.loaded else { return };
        self.record(path, Ok(generation.number), duration);
        info!(
            path = %path_line(path),
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
        self.factory.metrics().reloaded(outcome.is_ok(), duration);
        self.history.add(Swap::new(path.to_string_lossy().into_owned(), outcome, duration));
    }
}

/// Locks a value that no panic can leave half written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
