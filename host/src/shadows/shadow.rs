//! The shadow of one policy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use sac_owner::{Content, Source};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sandbox::cpu_budget::CallLimits;
use crate::shadows::differences::Differences;
use crate::shadows::state::ShadowState;
use crate::swap::generation::{Generation, Loaded};
use crate::swap::holder::Holder;
use crate::swap::own::Own;
use crate::swap::shared::Shared;
use crate::swap::snapshot::Snapshot;
use crate::work::crew::Crew;

/// The requests of one policy that its shadow has not computed yet. Beyond these, requests are not compared.
const PENDING: usize = 8;

/// The shadow of one policy: its own holder of candidates, and the differences so far.
pub(crate) struct Shadow {
    shared: Arc<Shared>,
    own: Own,
    /// Replaced by an empty one when the folder has no candidate any more.
    holder: ArcSwap<Holder>,
    record: Mutex<Record>,
    /// A permit is a request that waits to be computed.
    pending: Arc<Semaphore>,
    /// Locked while a checkpoint is promoted.
    pub(super) promotion: tokio::sync::Mutex<()>,
}

/// The comparison of one checkpoint with another.
#[derive(Default)]
struct Record {
    pair: Option<Pair>,
    differences: Differences,
    /// The reason why the last request could not be computed, or why no file is a candidate.
    failure: Option<String>,
}

struct Pair {
    policy: Arc<Content>,
    shadow: Arc<Content>,
    /// The last generation of the policy's content.
    generation: u64,
}

/// A request that a policy answered, and that its shadow is to compute.
pub(crate) struct Sample {
    pub(super) content: Arc<Content>,
    pub(super) generation: u64,
    pub(super) action_dim: usize,
    pub(super) states: Vec<f32>,
    pub(super) actions: Vec<f32>,
}

/// The outcome of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Compared,
    /// The shadow cannot be loaded, or cannot compute the request.
    Failed,
    /// There is no shadow.
    None,
}

impl Shadow {
    /// Makes the shadow of a policy, which looks for candidates when the first sample comes. `own` is the policy's, with another
    /// source.
    pub(crate) fn new(shared: &Arc<Shared>, own: Own) -> Self {
        Shadow {
            shared: shared.clone(),
            holder: ArcSwap::from_pointee(Holder::new(shared, own.clone())),
            own,
            record: Mutex::default(),
            pending: Arc::new(Semaphore::new(PENDING)),
            promotion: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn source(&self) -> &Source {
        &self.own.source
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns a place for a sample, if there is one.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.pending.clone().try_acquire_owned().ok()
    }

    /// Returns the newest candidate, and loads it first if it changed.
    pub(super) async fn current(&self) -> Snapshot {
        self.holder.load_full().current().await
    }

    /// Computes a sample on a thread of `crew`, and records the differences.
    pub(super) async fn compare(&self, sample: Sample, crew: &Crew, limits: CallLimits) -> Outcome {
        let source = self.own.source.clone();
        match self.shared.storage().run(move |_| source.may_have_candidates()).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                self.clear();
                let absence = self.current().await.absence;
                self.record().failure = absence.map(|absence| absence.to_string());
                return Outcome::None;
            }
            // An error of the storage says nothing about the files.
            _ => return Outcome::Failed,
        }
        let current = self.current().await;
        let Some(Loaded { content, policy }) = &current.generation.loaded else { return Outcome::Failed };
        let (content, action_dim) = (content.clone(), policy.action_dim as usize);
        let Sample { content: policy, generation, action_dim: expected, states, actions } = sample;
        let computed = if action_dim == expected {
            let shadow = current.generation;
            crew.run(move |_| compute(&shadow, &states, limits)).await.map_err(|error| error.to_string()).flatten()
        } else {
            Err(format!("its actions have {action_dim} numbers, and those of the policy {expected}"))
        };
        let mut record = self.record();
        record.select(Pair { policy, shadow: content, generation });
        match computed {
            Ok(others) => {
                record.failure = None;
                record.differences.add(&actions, &others, action_dim, self.shared.shadow_threshold());
                Outcome::Compared
            }
            Err(failure) => {
                record.failure = Some(failure);
                Outcome::Failed
            }
        }
    }

    /// Forgets the checkpoint, which is not in the folder any more.
    pub(super) fn clear(&self) {
        let latest = self.holder.load().latest();
        if latest.generation.loaded.is_some() || latest.refusal.is_some() {
            self.holder.store(Arc::new(Holder::new(&self.shared, self.own.clone())));
            *self.record() = Record::default();
        }
    }

    /// Describes the shadow as the last sample left it. Returns `None` if there is none.
    pub(crate) fn state(&self) -> Option<ShadowState> {
        let Snapshot { generation, refusal, .. } = self.holder.load().latest();
        let content = generation.loaded.as_ref().map(|loaded| &loaded.content);
        let file = refusal
            .as_ref()
            .map(|refused| refused.resolved.as_path())
            .or(content.map(|content| content.path.as_path()));
        let record = self.record();
        let path = match file {
            Some(file) => file.to_string_lossy().into_owned(),
            // There are files, and none is a candidate.
            None if record.failure.is_some() => self.source().to_string(),
            None => return None,
        };
        let differences = &record.differences;
        Some(ShadowState {
            path,
            sha256: content.map(|content| content.sha256().to_owned()),
            detail: refusal.as_ref().map(|refused| refused.detail.clone()).or_else(|| record.failure.clone()),
            compared_with: record.pair.as_ref().map(|pair| pair.generation),
            rows: differences.rows,
            difference_mean: differences.mean(),
            difference_max: (differences.rows > 0).then_some(differences.max),
            above_threshold: differences.share_above(),
            threshold: self.shared.shadow_threshold(),
        })
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // A panic cannot interrupt the arithmetic.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// Begins anew unless this pair is the one so far.
    fn select(&mut self, pair: Pair) {
        let is_same = |known: &Pair| is_same(&known.policy, &pair.policy) && is_same(&known.shadow, &pair.shadow);
        if !self.pair.as_ref().is_some_and(is_same) {
            *self = Record::default();
        }
        self.pair = Some(pair);
    }
}

fn compute(shadow: &Generation, states: &[f32], limits: CallLimits) -> Result<Vec<f32>, String> {
    shadow.decide(states, limits).map_err(|error| error.to_string()).flatten()
}

/// Returns `true` if two contents are the same to the last byte.
fn is_same(one: &Arc<Content>, other: &Arc<Content>) -> bool {
    Arc::ptr_eq(one, other) || one.digests() == other.digests()
}
