//! The metrics of the log of decisions.

use anyhow::Result;
use prometheus::IntCounterVec;

use super::registry::MetricRegistry;
use super::starting_with;

/// Counts decisions by the outcome of their records.
pub(crate) struct DecisionMetrics(IntCounterVec);

impl DecisionMetrics {
    pub(super) fn new(r: &MetricRegistry) -> Result<Self> {
        let help = "Decisions for the log: `written`, `dropped` because too many waited, or `failed` to be written";
        let counters = r.counter_vec("sac_decisions_total", &["outcome"], help)?;
        Ok(DecisionMetrics(starting_with(["written", "dropped", "failed"], counters)))
    }

    /// `outcome` is a label value.
    pub(crate) fn count(&self, outcome: &str, decisions: u64) {
        self.0.with_label_values(&[outcome]).inc_by(decisions);
    }
}
