//! The reason why a renewal failed.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use super::refused::Refused;
use crate::text::{one_line, path_line};

/// The reason why a renewal did not load the newest candidate.
#[derive(Debug, Error)]
pub enum RenewalError {
    /// The file system failed. What is in service stays.
    #[error("{watched} cannot be listed: {error}")]
    Unlisted {
        /// The file, or the pattern of files, that is watched.
        watched: String,
        /// The error, which may pass.
        error: io::Error,
    },
    /// The newest candidate that was tried is refused.
    #[error("{}: {}", path_line(&.0.resolved), one_line(&.0.detail))]
    Refused(Arc<Refused>),
    /// There is no candidate. What is in service stays.
    #[error("no {noun} at {watched}; the one in service stays")]
    Missing {
        /// See [`Watch::NOUN`](crate::Watch::NOUN).
        noun: &'static str,
        /// The file, or the pattern of files, that is watched.
        watched: String,
    },
}
