//! The reasons for which a checkpoint is refused before it is loaded.

use std::path::PathBuf;

use thiserror::Error;

use crate::text::{one_line, path_line};
use crate::watch::{Failure, ReadError};

/// A checkpoint is refused before it is loaded. No text repeats the content of a file, and each is one line.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The checkpoint, or the file that holds its sha256, cannot be read.
    #[error("{0}{hint}", hint = limit_hint(.0))]
    Read(ReadError),
    /// The checkpoint is not the one that its sha256 file was written for.
    #[error("its sha256 is {found}, and {} says another", path_line(sidecar))]
    WrongDigest {
        /// The sha256 of the checkpoint.
        found: String,
        /// The path of that file.
        sidecar: PathBuf,
    },
    /// The file at this path, beside the checkpoint, has no sha256 for it.
    #[error("{} holds no sha256 for it", path_line(.0))]
    NoDigest(PathBuf),
    /// The sidecar of this name cannot be read.
    #[error("{}: {error}", one_line(.0), error = .1)]
    Sidecar(String, ReadError),
    /// The sidecar of this name is a symlink that leads to another folder.
    #[error("{} is a symlink that leads out of the checkpoint's folder", one_line(.0))]
    Outside(String),
    /// The sidecar and the checkpoint are larger than allowed together. The sidecar was not read.
    #[error(
        "with {} it has {size} bytes, over the limit of {limit} for a checkpoint and the files beside it{RAISE}",
        one_line(name)
    )]
    TooLargeTogether {
        /// The name of the sidecar.
        name: String,
        /// The size of all files, in bytes.
        size: u64,
        /// The largest size, in bytes.
        limit: u64,
    },
    /// The VecNormalize statistics of the folder are much newer than the checkpoint.
    #[error(
        "{} was written long after it, so it may belong to another model: name the statistics of this one \
         {}.vecnormalize.pkl, or give them by --vecnormalize FILE (SAC_VECNORMALIZE)",
        one_line(statistics),
        one_line(checkpoint)
    )]
    NewerStatistics {
        /// The name of the statistics.
        statistics: String,
        /// The name of the checkpoint.
        checkpoint: String,
    },
    /// Other checkpoints of the same training have VecNormalize statistics, and those of this one are not there yet.
    #[error(
        "{} is missing, and other checkpoints with its prefix have their statistics: if it was trained without VecNormalize, \
         write {{\"normalisation\": \"none\"}} into {}.policy.json",
        one_line(statistics),
        one_line(checkpoint)
    )]
    AwaitedStatistics {
        /// The name of the statistics.
        statistics: String,
        /// The name of the checkpoint.
        checkpoint: String,
    },
    /// Two files may hold the VecNormalize statistics of the checkpoint.
    #[error(
        "both {} and {} may hold its VecNormalize statistics; name one by --vecnormalize FILE (SAC_VECNORMALIZE), or \
         rename it to {}.vecnormalize.pkl",
        one_line(first),
        one_line(second),
        one_line(checkpoint)
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

/// The setting that raises the limit of a checkpoint and of the files beside it.
const RAISE: &str = ": --max-checkpoint-bytes (SAC_MAX_CHECKPOINT_BYTES) raises it";

/// Returns what a reader of a checkpoint's error can do about a limit.
fn limit_hint(error: &ReadError) -> &'static str {
    if matches!(error, ReadError::TooLarge { .. }) { RAISE } else { "" }
}

impl From<ReadError> for CheckpointError {
    fn from(error: ReadError) -> Self {
        CheckpointError::Read(error)
    }
}

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        let (CheckpointError::Read(reason) | CheckpointError::Sidecar(_, reason)) = &error else {
            return Failure { detail: error.to_string(), may_pass: false };
        };
        Failure { detail: error.to_string(), may_pass: matches!(reason, ReadError::Io(_)) }
    }
}
