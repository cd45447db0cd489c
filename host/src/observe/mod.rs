//! What operators see of the server: metrics and spans. It takes values, and names no other module of this crate.

pub(crate) mod metrics;
pub(crate) mod trace;
