//! The metrics of the policies of a root.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Result;
use http::StatusCode;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::model::timestamp;
use super::registry::MetricRegistry;

/// The number of values of the label `policy`, so that the metrics of a process are bounded.
pub(crate) const MAX_LABELS: usize = 1000;
/// The label of all policies beyond that number.
const OTHER: &str = "other";

/// The metrics of the policies of a root.
pub(crate) struct PolicyMetrics {
    requests: IntCounterVec,
    generation: IntGaugeVec,
    stale: IntGaugeVec,
    modified: GaugeVec,
    loaded: IntGauge,
    /// The names that have a label of their own.
    labels: Mutex<HashSet<String>>,
}

/// Counts the requests of one policy. Its metrics are looked up once.
pub(crate) struct PolicyRequests {
    label: String,
    ok: IntCounter,
    requests: IntCounterVec,
}

/// The state of a policy that the metrics show.
pub(crate) struct PolicyGauges {
    pub(crate) name: String,
    /// The generation, and the mtime of its checkpoint. `None` if it is not loaded.
    pub(crate) loaded: Option<(u64, SystemTime)>,
    pub(crate) stale: bool,
}

impl PolicyMetrics {
    pub(super) fn new(r: &MetricRegistry) -> Result<Self> {
        let requests = "Requests by policy and status";
        let generation = "The number of checkpoints of a policy that were put into service, for each that is loaded";
        let stale = "1 if the newest checkpoint of a policy was refused, else 0, for each that is loaded or refused";
        let modified = "The mtime of the checkpoint of a policy, in seconds since 1970, for each that is loaded";
        Ok(PolicyMetrics {
            requests: r.counter_vec("sac_policy_requests_total", &["policy", "status"], requests)?,
            generation: r.gauge_vec("sac_policy_generation", &["policy"], generation)?,
            stale: r.gauge_vec("sac_policy_stale", &["policy"], stale)?,
            modified: r.float_gauge_vec("sac_policy_mtime_timestamp_seconds", &["policy"], modified)?,
            loaded: r.gauge("sac_policies_loaded", "Policies of the root that are loaded")?,
            labels: Mutex::default(),
        })
    }

    /// Returns the counters of a policy.
    pub(crate) fn requests(&self, name: &str) -> PolicyRequests {
        let label = if self.has_label(name) { name } else { OTHER }.to_owned();
        let ok = self.requests.with_label_values(&[label.as_str(), "200"]);
        PolicyRequests { label, ok, requests: self.requests.clone() }
    }

    /// Sets the gauges to the policies that are loaded or refused.
    pub(crate) fn set(&self, policies: &[PolicyGauges]) {
        self.generation.reset();
        self.stale.reset();
        self.modified.reset();
        self.loaded.set(policies.iter().filter(|policy| policy.loaded.is_some()).count() as i64);
        for PolicyGauges { name, loaded, stale } in policies.iter().filter(|policy| self.has_label(&policy.name)) {
            if let Some((generation, modified)) = loaded {
                self.generation.with_label_values(&[name]).set(*generation as i64);
                self.modified.with_label_values(&[name]).set(timestamp(*modified));
            }
            self.stale.with_label_values(&[name]).set((*stale).into());
        }
    }

    /// Returns `true` if a policy has a label of its own. The first that ask have one.
    fn has_label(&self, name: &str) -> bool {
        // A panic cannot interrupt an insertion.
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        labels.contains(name) || (labels.len() < MAX_LABELS && labels.insert(name.to_owned()))
    }
}

impl PolicyRequests {
    /// Counts a request that was answered with this status.
    pub(crate) fn count(&self, status: StatusCode) {
        match status {
            StatusCode::OK => self.ok.inc(),
            _ => self.requests.with_label_values(&[self.label.as_str(), status.as_str()]).inc(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policies_beyond_the_first_thousand_share_a_label() {
        let registry = MetricRegistry::default();
        let metrics = PolicyMetrics::new(&registry).unwrap();
        for n in 0..MAX_LABELS + 3 {
            metrics.requests(&n.to_string()).count(StatusCode::OK);
        }
        metrics.requests("7").count(StatusCode::OK);
        let text = registry.text().unwrap();
        let has = |line: &str| text.lines().any(|found| found == line);
        assert!(has("sac_policy_requests_total{policy=\"7\",status=\"200\"} 2"), "{text}");
        assert!(has("sac_policy_requests_total{policy=\"other\",status=\"200\"} 3"), "{text}");
    }
}
