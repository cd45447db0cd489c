//! Decides which checkpoint serves: the listing of candidates, and the files that belong to them.

mod cache;
mod content;
mod error;
mod finder;
mod limits;
mod listing;
mod names;
mod sidecars;
mod source;

pub use content::{Content, Statistics};
pub use error::CheckpointError;
pub use finder::Candidate;
pub use limits::Limits;
pub use source::Source;

#[cfg(test)]
mod tests;
