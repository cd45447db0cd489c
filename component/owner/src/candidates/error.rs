//! The reasons for which a checkpoint is refused before it is loaded.

use std::path::PathBuf;

use thiserror::Error;

use crate::watch::{ReadError, Unread};

/// A checkpoint is refused before it is loaded.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The checkpoint, or the file that holds its sha256, cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The checkpoint is not the one that its sha256 file was written for.
    #[error("its sha256 is {found}, but {} says {expected}", sidecar.display())]
    WrongDigest {
        /// The sha256 of the checkpoint.
        found: String,
        /// The sha256 in the file beside it.
        expected: String,
        /// The path of that file.
        sidecar: PathBuf,
    },
    /// The file at this path, beside the checkpoint, has no sha256 for it.
    #[error("{} holds no sha256 for it", .0.display())]
    NoDigest(PathBuf),
    /// The statistics at this path, beside the checkpoint, cannot be read.
    #[error("{}: {}", .0.display(), .1)]
    Statistics(PathBuf, ReadError),
}

impl From<CheckpointError> for Unread {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Read(error) => error.into(),
            error => Unread { detail: error.to_string(), may_pass: false },
        }
    }
}
