//! The routes of a policy, as far as the host treats them in different ways.

use sac_owner::is_open_inference;

/// The route of predictions.
pub(crate) const PREDICT: &str = "/sac/predict";
/// The route of streams of predictions.
pub(crate) const STREAM: &str = "/sac/stream";
/// The route of the candidates.
pub(crate) const CANDIDATES: &str = "/sac/model/candidates";

/// A route that the host answers, because the component has neither files nor connections.
#[derive(Clone, Copy)]
pub(crate) enum Hosted {
    Candidates,
    Stream,
}

impl Hosted {
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            CANDIDATES => Some(Hosted::Candidates),
            STREAM => Some(Hosted::Stream),
            _ => None,
        }
    }
}

/// A route that says how the service is. The host answers it however many requests are in flight, and while it stops.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// `/sac/health`.
    Sac,
    /// That the server runs, in the Open Inference Protocol.
    Live,
    /// That it can answer, in the Open Inference Protocol.
    Ready,
}

impl Health {
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "/sac/health" => Some(Health::Sac),
            "/v2/health/live" => Some(Health::Live),
            "/v2/health/ready" => Some(Health::Ready),
            _ => None,
        }
    }

    /// Returns `true` for a route that is about the server rather than a policy.
    pub(crate) fn is_of_server(self) -> bool {
        matches!(self, Health::Live | Health::Ready)
    }
}

/// Returns `true` if a path belongs to a policy, even if the answer is 404.
pub(crate) fn is_policys(path: &str) -> bool {
    path.starts_with("/sac/") || is_open_inference(path)
}
