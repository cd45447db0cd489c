//! Decides which checkpoint serves: the listing of candidates, and the files that belong to them.

mod absence;
mod cache;
mod content;
mod digest;
mod error;
mod finder;
mod limits;
mod listing;
mod names;
mod natural;
mod own_folder;
mod promotion;
mod remedy;
mod selection;
mod sidecar_names;
mod sidecars;
mod source;

pub use absence::{Absence, similar_folder};
pub use content::{Content, Sidecar};
pub use error::CheckpointError;
pub use finder::Candidate;
pub use limits::Limits;
pub use promotion::PromotionError;
pub use remedy::Remedy;
pub use selection::SelectionError;
pub use sidecar_names::SidecarKind;
pub use source::Source;

// They make symlinks and FIFOs.
#[cfg(test)]
#[cfg(unix)]
mod tests;
