use std::time::SystemTime;

use anyhow::Result;
use prometheus::{Gauge, IntGauge, IntGaugeVec};
use sac_owner::since_epoch;

use super::register::Register;
use crate::swap::holder::Current;

/// What is in service.
pub(super) struct Model {
    info: IntGaugeVec,
    loaded: IntGauge,
    stale: IntGauge,
    generation: IntGauge,
    modified: Gauge,
    age: Gauge,
    read: Gauge,
}

impl Model {
    pub(super) fn new(r: &Register) -> Result<Self> {
        let labels = ["path", "format", "layout", "plan", "sha256"];
        let since_1970 = |name, what| r.seconds(name, &format!("{what}, in seconds since 1970"));
        Ok(Model {
            info: r.gauges("sac_model_info", &labels, "1, by what is in service")?,
            loaded: r.gauge("sac_model_loaded", "Whether a checkpoint is in service")?,
            stale: r.gauge("sac_model_stale", "Whether a newer checkpoint was refused")?,
            generation: r.gauge("sac_model_generation", "How many checkpoints were put into service")?,
            modified: since_1970("sac_model_mtime_timestamp_seconds", "The mtime of the checkpoint in service")?,
            age: r.seconds("sac_model_age_seconds", "How long ago that is")?,
            read: since_1970("sac_model_loaded_timestamp_seconds", "When the checkpoint in service was read")?,
        })
    }

    pub(super) fn set(&self, current: &Current) {
        self.info.reset();
        self.generation.set(current.generation.number as i64);
        self.stale.set(current.refusal.is_some().into());
        let loaded = current.generation.loaded.as_ref();
        self.loaded.set(loaded.is_some().into());
        let Some(loaded) = loaded else { return };
        let (path, policy) = (loaded.path.to_string_lossy(), &loaded.policy);
        let labels = [&*path, &policy.format, &policy.layout, policy.backend.name(), &loaded.sha256];
        self.info.with_label_values(&labels).set(1);
        self.modified.set(timestamp(loaded.modified));
        self.age.set(timestamp(SystemTime::now()) - timestamp(loaded.modified));
        self.read.set(timestamp(loaded.read_at));
    }
}

fn timestamp(time: SystemTime) -> f64 {
    let (seconds, nanoseconds) = since_epoch(time);
    seconds as f64 + f64::from(nanoseconds) / 1e9
}
