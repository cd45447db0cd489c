//! The metrics of the checkpoint in service.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use prometheus::{GaugeVec, IntGaugeVec};
use sac_owner::since_epoch;

use super::registry::MetricRegistry;

/// The state that the metrics show.
#[derive(Default)]
pub(crate) struct ModelState<'a> {
    /// The number of checkpoints that were put into service.
    pub(crate) generation: u64,
    /// Set if a newer checkpoint was refused.
    pub(crate) stale: bool,
    /// The time since the files were seen, if there are any to see.
    pub(crate) unseen: Option<Duration>,
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

/// The gauges that show a [`ModelState`]. Only the first has labels. The others are vectors too, because a value that there is not
/// must be absent: an age of 0 would be that of a new checkpoint.
pub(super) struct ModelMetrics {
    info: IntGaugeVec,
    loaded: IntGaugeVec,
    stale: IntGaugeVec,
    generation: IntGaugeVec,
    verified_examples: IntGaugeVec,
    modified: GaugeVec,
    age: GaugeVec,
    read: GaugeVec,
    freshness: GaugeVec,
}

const NO_LABELS: [&str; 0] = [];

impl ModelMetrics {
    pub(super) fn new(r: &MetricRegistry) -> Result<Self> {
        let labels = ["path", "format", "layout", "plan", "sha256"];
        let gauge = |name, what| r.gauge_vec(name, &NO_LABELS, what);
        let seconds = |name, what: &str| r.float_gauge_vec(name, &NO_LABELS, what);
        let since_1970 = |name, what| seconds(name, &format!("{what}, in seconds since 1970"));
        Ok(ModelMetrics {
            info: r.gauge_vec("sac_model_info", &labels, "Always 1; the labels describe the checkpoint in service")?,
            loaded: gauge("sac_model_loaded", "1 if a checkpoint is in service, else 0")?,
            stale: gauge("sac_model_stale", "1 if a newer checkpoint was refused, else 0")?,
            generation: gauge("sac_model_generation", "The number of checkpoints that were put into service")?,
            verified_examples: gauge(
                "sac_verified_examples",
                "The examples in cards that the checkpoint in service was compared with and reproduces",
            )?,
            modified: since_1970("sac_model_mtime_timestamp_seconds", "The mtime of the checkpoint in service")?,
            age: seconds("sac_model_age_seconds", "The time since the mtime of the checkpoint in service")?,
            read: since_1970("sac_model_loaded_timestamp_seconds", "When the checkpoint in service was read")?,
            freshness: seconds(
                "sac_freshness_seconds",
                "The time since the files were seen. It grows while there is no request, or while their storage does not answer",
            )?,
        })
    }

    /// Sets the gauges to a state. Those of what there is not are absent.
    pub(super) fn set(&self, state: Option<&ModelState>) {
        let ModelMetrics { info, loaded, stale, generation, verified_examples, modified, age, read, freshness } = self;
        [info, loaded, stale, generation, verified_examples].into_iter().for_each(IntGaugeVec::reset);
        [modified, age, read, freshness].into_iter().for_each(GaugeVec::reset);
        let Some(state) = state else { return };
        let whole = |gauge: &IntGaugeVec, value| gauge.with_label_values(&NO_LABELS).set(value);
        let number = |gauge: &GaugeVec, value| gauge.with_label_values(&NO_LABELS).set(value);
        whole(generation, state.generation as i64);
        whole(stale, state.stale.into());
        whole(loaded, state.checkpoint.is_some().into());
        if let Some(unseen) = state.unseen {
            number(freshness, unseen.as_secs_f64());
        }
        let Some(checkpoint) = &state.checkpoint else { return };
        let CheckpointState { path, format, layout, backend, sha256, .. } = checkpoint;
        info.with_label_values(&[path, *format, layout, backend, sha256]).set(1);
        whole(verified_examples, checkpoint.verified_examples.into());
        number(modified, timestamp(checkpoint.modified));
        // That of a pinned checkpoint lies ahead.
        number(age, (timestamp(SystemTime::now()) - timestamp(checkpoint.modified)).max(0.0));
        number(read, timestamp(checkpoint.read_at));
    }
}

/// Returns the seconds since 1970.
pub(super) fn timestamp(time: SystemTime) -> f64 {
    let (seconds, nanoseconds) = since_epoch(time);
    seconds as f64 + f64::from(nanoseconds) / 1e9
}
