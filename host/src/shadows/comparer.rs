//! Chooses the requests that shadows compute, and bounds how many wait.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::config::{Config, ShadowConfig};
use crate::observe::metrics::{Metrics, ShadowMetrics};
use crate::sandbox::bindings::Decision;
use crate::sandbox::cpu_budget::CallLimits;
use crate::shadows::sampler::Sampler;
use crate::shadows::shadow::{Outcome, Sample, Shadow};
use crate::swap::generation::{Generation, Loaded};
use crate::work::crew::Crew;

/// The requests of all policies whose shadows have not computed them yet.
const PENDING: usize = 64;
/// The numbers of a request that a shadow computes, as rows from the first on: one row at least. With [`PENDING`], it bounds the
/// memory of those that wait, at 16 MiB.
const MAX_NUMBERS: usize = 1 << 16;

/// Lets shadows compute a share of the requests, after they were answered and on a thread that leaves others first.
pub(crate) struct Comparer {
    sampler: Sampler,
    crew: Crew,
    limits: CallLimits,
    /// A permit is a request that waits to be computed.
    pending: Arc<Semaphore>,
    metrics: ShadowMetrics,
}

impl Comparer {
    pub(crate) fn new(config: &Config, settings: &ShadowConfig, metrics: &Metrics) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Comparer {
            sampler: Sampler::new(settings.share),
            crew: Crew::new("sac-shadow", 1),
            limits: config.sandbox.call_time.into(),
            pending: Arc::new(Semaphore::new(PENDING)),
            metrics: metrics.shadows()?,
        }))
    }

    pub(crate) fn metrics(&self) -> &ShadowMetrics {
        &self.metrics
    }

    /// Returns `true` if the next request is one of the share.
    pub(crate) fn choose(&self) -> bool {
        self.sampler.choose()
    }

    /// Lets a shadow compute a decision of its policy, unless too many wait. It waits for nothing. Only deterministic actions are
    /// compared: others differ by their draws.
    pub(crate) fn offer(self: &Arc<Self>, shadow: &Arc<Shadow>, generation: &Generation, decision: Decision) {
        let Decision { mut states, seed, mut actions } = decision;
        let (Some(Loaded { content, policy }), None) = (&generation.loaded, seed) else { return };
        let Some(places) = self.pending.clone().try_acquire_owned().ok().zip(shadow.place()) else {
            return self.metrics.sampled("skipped");
        };
        let (state_dim, action_dim) = (policy.state_dim.max(1) as usize, policy.action_dim as usize);
        let rows = (MAX_NUMBERS / state_dim).max(1);
        states.truncate(rows * state_dim);
        actions.truncate(rows * action_dim);
        let sample = Sample { content: content.clone(), generation: generation.number, action_dim, states, actions };
        let (shadows, shadow) = (self.clone(), shadow.clone());
        tokio::spawn(async move {
            let Comparer { crew, limits, .. } = &*shadows;
            match shadow.compare(sample, crew, limits.clone()).await {
                Outcome::Compared => shadows.metrics.sampled("compared"),
                Outcome::Failed => shadows.metrics.sampled("failed"),
                Outcome::None => {}
            }
            drop(places);
        });
    }
}
