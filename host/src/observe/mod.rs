//! Metrics and spans, for operators. This module takes values, and names no other module of this crate.

pub(crate) mod metrics;
pub(crate) mod timeline;
pub(crate) mod trace;
