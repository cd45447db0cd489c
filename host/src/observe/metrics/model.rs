//! The metrics of the checkpoint in service.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use prometheus::{Gauge, IntGauge, IntGaugeVec};
use sac_owner::since_epoch;

use super::registry::MetricRegistry;

/// The state that the metrics show.
#[derive(Default)]
pub(crate) struct ModelState<'a> {
    /// The number of checkpoints that were put into service.
    pub(crate) generation: u64,
    /// Set if a newer checkpoint was refused.
    pub(crate) stale: bool,
    /// The checkpoint in service, if there is one.
    pub(crate) checkpoint: Option<CheckpointState<'a>>,
}

/// The checkpoint in service.
pub(crate) struct CheckpointState<'a> {
    pub(crate) path: Cow<'a, str>,
    pub(crate) format: &'a str,
    pub(crate) layout: &'a str,
    pub(crate) backend: &'static str,
    pub(crate) sha256: &'a str,
    pub(crate) verified_examples: u32,
    pub(crate) modified: SystemTime,
    pub(crate) read_at: SystemTime,
}

/// The gauges that show a [`ModelState`].
pub(super) struct ModelMetrics {
    info: IntGaugeVec,
    loaded: IntGauge,
    stale: IntGauge,
    generation: IntGauge,
    verified_examples: IntGauge,
    modified: Gauge,
    age: Gauge,
    read: Gauge,
    freshness: Gauge,
}

impl ModelMetrics {
    pub(super) fn new(r: &MetricRegistry) -> Result<Self> {
        let labels = ["path", "format", "layout", "plan", "sha256"];
        let since_1970 = |name, what| r.gauge_f64(name, &format!("{what}, in seconds since 1970"));
        Ok(ModelMetrics {
            info: r.gauge_vec("sac_model_info", &labels, "Always 1; the labels describe the checkpoint in service")?,
            loaded: r.gauge("sac_model_loaded", "1 if a checkpoint is in service, else 0")?,
            stale: r.gauge("sac_model_stale", "1 if a newer checkpoint was refused, else 0")?,
            generation: r.gauge("sac_model_generation", "The number of checkpoints that were put into service")?,
            verified_examples: r.gauge(
                "sac_verified_examples",
                "The examples in cards that the checkpoint in service was compared with and reproduces",
            )?,
            modified: since_1970("sac_model_mtime_timestamp_seconds", "The mtime of the checkpoint in service")?,
            age: r.gauge_f64("sac_model_age_seconds", "The time since the mtime of the checkpoint in service")?,
            read: since_1970("sac_model_loaded_timestamp_seconds", "When the checkpoint in service was read")?,
            freshness: r.gauge_f64(
                "sac_freshness_seconds",
                "The time since the files were seen. It grows while there is no request, or while their storage does not answer",
            )?,
        })
    }

    pub(super) fn set(&self, state: &ModelState, unseen: Duration) {
        self.freshness.set(unseen.as_secs_f64());
        self.info.reset();
        self.generation.set(state.generation as i64);
        self.stale.set(state.stale.into());
        self.loaded.set(state.checkpoint.is_some().into());
        let verified_examples = state.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.verified_examples);
        self.verified_examples.set(verified_examples.into());
        let Some(checkpoint) = &state.checkpoint else { return };
        let CheckpointState { path, format, layout, backend, sha256, .. } = checkpoint;
        self.info.with_label_values(&[path, *format, layout, backend, sha256]).set(1);
        self.modified.set(timestamp(checkpoint.modified));
        // That of a pinned checkpoint lies ahead.
        self.age.set((timestamp(SystemTime::now()) - timestamp(checkpoint.modified)).max(0.0));
        self.read.set(timestamp(checkpoint.read_at));
    }
}

fn timestamp(time: SystemTime) -> f64 {
    let (seconds, nanoseconds) = since_epoch(time);
    seconds as f64 + f64::from(nanoseconds) / 1e9
}
