//! The component's routes, as far as the host treats them in different ways.

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

/// Returns `true` for the paths of the Open Inference Protocol, whose errors have another form.
pub(crate) fn is_open_inference(path: &str) -> bool {
    path.strip_prefix("/v2").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
