//! A shadow in the bodies of `/policies` and `/status`, and in the metrics.

use serde::Serialize;

/// A shadow, and how its actions differ from those of its policy.
#[derive(Debug, Serialize)]
pub(crate) struct ShadowState {
    /// The checkpoint, or the newest that is refused. If no file is a candidate, their pattern.
    pub(crate) path: String,
    /// `None` if none is loaded.
    pub(crate) sha256: Option<String>,
    /// The reason why the newest is refused, or why the last request could not be computed.
    pub(crate) detail: Option<String>,
    /// The generation of the policy that the shadow was compared with. The numbers below begin anew with each pair.
    pub(crate) compared_with: Option<u64>,
    /// The number of states for which both computed an action.
    pub(crate) rows: u64,
    /// The mean of the differences, in the unit of the actions. The difference of a row is the largest of its numbers'.
    pub(crate) difference_mean: Option<f64>,
    /// The largest difference.
    pub(crate) difference_max: Option<f64>,
    /// The part of the rows whose difference is above the threshold.
    pub(crate) above_threshold: Option<f64>,
    pub(crate) threshold: f64,
}
