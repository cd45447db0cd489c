//! The swap: which checkpoint is in service, and how the next one takes its place. It knows no HTTP.

pub(crate) mod generation;
pub(crate) mod history;
pub(crate) mod holder;
pub(crate) mod pool;
