//! Which checkpoint is in service, and how the next one replaces it. It never touches HTTP connections or responses.

pub(crate) mod call;
pub(crate) mod generation;
pub(crate) mod history;
pub(crate) mod holder;
pub(crate) mod pool;
