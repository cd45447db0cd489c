//! The component's routes, as far as the host treats them in different ways.

use sac_owner::is_open_inference;

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
}

/// Returns `true` if the component answers a path, be it with 404.
pub(crate) fn is_components(path: &str) -> bool {
    path.starts_with("/sac/") || is_open_inference(path)
}
