//! The content of a checkpoint, verified, with the statistics beside it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::CheckpointError;
use super::sidecars::{statistics_path, verify};
use crate::watch::{FileReader, Identity, Moment, ReadError, sha256};

/// A checkpoint's bytes. They were read through one descriptor, from a file that did not change meanwhile.
#[derive(Debug, Clone)]
pub struct Content {
    /// The absolute path, with symlinks resolved.
    pub path: PathBuf,
    /// The whole file.
    pub bytes: Vec<u8>,
    /// The sha256 of the whole file, in lowercase hexadecimal.
    pub sha256: String,
    /// The identity of the file while it was read.
    pub identity: Identity,
    /// The VecNormalize statistics beside it, if there are any.
    pub statistics: Option<Statistics>,
    /// When the read began.
    pub read_at: SystemTime,
    pub(super) began: Moment,
}

/// The VecNormalize statistics beside a model of Stable-Baselines3.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// The whole file.
    pub bytes: Vec<u8>,
    pub(super) sha256: String,
    pub(super) identity: Identity,
}

impl Content {
    /// Reads a checkpoint and what stands beside it. Nothing that a FIFO or a device could delay blocks it.
    pub(super) fn read(checkpoint: &Path, reader: FileReader) -> Result<Self, CheckpointError> {
        // The path is resolved before the file is opened, so that the reported path is the one that was read.
        let path = resolve(checkpoint).map_err(ReadError::Io)?;
        let began = Moment::now();
        let (bytes, identity) = reader.read(&path)?;
        let sha256 = sha256(&bytes);
        verify(checkpoint, &sha256)?;
        let statistics = Statistics::read(checkpoint, reader)?;
        Ok(Content { path, bytes, sha256, identity, statistics, read_at: began.time, began })
    }
}

impl Statistics {
    fn read(checkpoint: &Path, reader: FileReader) -> Result<Option<Self>, CheckpointError> {
        let Some(path) = statistics_path(checkpoint) else { return Ok(None) };
        match reader.read(&path) {
            Ok((bytes, identity)) => Ok(Some(Statistics { sha256: sha256(&bytes), bytes, identity })),
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CheckpointError::Statistics(path, error)),
        }
    }
}

fn resolve(path: &Path) -> io::Result<PathBuf> {
    if cfg!(target_os = "wasi") { std::path::absolute(path) } else { path.canonicalize() }
}
