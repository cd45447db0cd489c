//! What operators see of the server: metrics and spans.

pub(crate) mod metrics;
pub(crate) mod trace;
