//! The metrics of shadows.

use anyhow::Result;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::registry::MetricRegistry;
use super::starting_with;

/// The metrics of the shadows of all policies.
pub(crate) struct ShadowMetrics {
    samples: IntCounterVec,
    rows: IntGaugeVec,
    mean: GaugeVec,
    max: GaugeVec,
    above: GaugeVec,
}

/// The differences of a shadow that the metrics show.
pub(crate) struct ShadowGauges {
    /// The value of the label `policy`.
    pub(crate) policy: String,
    pub(crate) rows: u64,
    pub(crate) mean: f64,
    pub(crate) max: f64,
    pub(crate) above: f64,
}

impl ShadowMetrics {
    pub(super) fn new(r: &MetricRegistry) -> Result<Self> {
        let samples = "Requests for a shadow: it `compared` them, `failed` to load or to compute them, or they were `skipped` because too many waited";
        let rows = "States for which a policy and its shadow, as they are now, both computed an action";
        let mean = "The mean difference of their actions; the difference of a row is the largest of its numbers'";
        let max = "The largest difference of their actions";
        let above = "The part of these states for which the difference is above --shadow-threshold";
        let samples = r.counter_vec("sac_shadow_samples_total", &["outcome"], samples)?;
        Ok(ShadowMetrics {
            samples: starting_with(["compared", "failed", "skipped"], samples),
            rows: r.gauge_vec("sac_shadow_rows", &["policy"], rows)?,
            mean: r.float_gauge_vec("sac_shadow_difference_mean", &["policy"], mean)?,
            max: r.float_gauge_vec("sac_shadow_difference_max", &["policy"], max)?,
            above: r.float_gauge_vec("sac_shadow_above_threshold_ratio", &["policy"], above)?,
        })
    }

    /// Counts a request that was chosen for a shadow. `outcome` is a label value.
    pub(crate) fn sampled(&self, outcome: &str) {
        self.samples.with_label_values(&[outcome]).inc();
    }

    /// Sets the gauges to the shadows that there are.
    pub(crate) fn set(&self, shadows: &[ShadowGauges]) {
        self.rows.reset();
        [&self.mean, &self.max, &self.above].iter().for_each(|gauges| gauges.reset());
        for ShadowGauges { policy, rows, mean, max, above } in shadows {
            self.rows.with_label_values(&[policy]).set(*rows as i64);
            for (gauges, value) in [(&self.mean, mean), (&self.max, max), (&self.above, above)] {
                gauges.with_label_values(&[policy]).set(*value);
            }
        }
    }
}
