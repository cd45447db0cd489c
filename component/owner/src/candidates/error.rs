//! The reasons for which a checkpoint is refused before it is loaded.

use std::path::PathBuf;

use thiserror::Error;

use crate::watch::{ReadError, Unread};

/// A checkpoint is refused before it is loaded. No text repeats the content of a file.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The checkpoint, or the file that holds its sha256, cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The checkpoint is not the one that its sha256 file was written for.
    #[error("its sha256 is {found}, and {} says another", sidecar.display())]
    WrongDigest {
        /// The sha256 of the checkpoint.
        found: String,
        /// The path of that file.
        sidecar: PathBuf,
    },
    /// The file at this path, beside the checkpoint, has no sha256 for it.
    #[error("{} holds no sha256 for it", .0.display())]
    NoDigest(PathBuf),
    /// The sidecar of this name cannot be read.
    #[error("{0}: {1}")]
    Sidecar(String, ReadError),
    /// The sidecar of this name is a symlink that leads to another folder.
    #[error("{0} is a symlink that leads out of the checkpoint's folder")]
    Outside(String),
    /// The sidecar and the checkpoint are larger than allowed together. The sidecar was not read.
    #[error("with {name} it has {size} bytes, over the limit of {limit} for a checkpoint and the files beside it")]
    TooLargeTogether {
        /// The name of the sidecar.
        name: String,
        /// The size of all files, in bytes.
        size: u64,
        /// The largest size, in bytes.
        limit: u64,
    },
    /// Two files may hold the VecNormalize statistics of the checkpoint.
    #[error(
        "both {first} and {second} may hold its VecNormalize statistics; name one by --vecnormalize FILE \
         (SAC_VECNORMALIZE), or rename it to {checkpoint}.vecnormalize.pkl"
    )]
    TwoStatistics {
        /// The name of a file.
        first: String,
        /// The name of the other file.
        second: String,
        /// The name of the checkpoint.
        checkpoint: String,
    },
}

impl From<CheckpointError> for Unread {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Read(error) => error.into(),
            CheckpointError::Sidecar(_, ReadError::Io(_)) => Unread { detail: error.to_string(), may_pass: true },
            error => Unread { detail: error.to_string(), may_pass: false },
        }
    }
}
