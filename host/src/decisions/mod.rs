//! Decisions on record: a line of JSON for each prediction, written off the request's path, and computed again by a replay.

mod file;
pub(crate) mod line;
pub(crate) mod log;
pub(crate) mod replay;
