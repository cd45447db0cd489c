//! Decides which checkpoint is in service, and replaces it by the next one. It never touches HTTP connections or responses.

mod absence_log;
mod aftermath;
pub(crate) mod call;
mod comparisons;
pub(crate) mod dispatcher;
pub(crate) mod generation;
pub(crate) mod history;
pub(crate) mod holder;
mod look;
pub(crate) mod makers;
mod native;
pub(crate) mod own;
mod passed_over_log;
pub(crate) mod pool;
pub(crate) mod publisher;
mod refusal_log;
pub(crate) mod shared;
pub(crate) mod snapshot;
mod split;
pub(crate) mod trial;
