//! A checkpoint's own folder. The files beside the checkpoint are read from it alone: a link that leads out of it is refused.

use std::fs::File;
use std::io;
use std::path::Path;

use super::error::CheckpointError;
use super::finder::parent;
use crate::watch::{FileReader, Identity, ReadError, is_absence, open, open_resolved, resolve};

const MAX_TRIES: usize = 3;

/// The folder of a checkpoint, and the one that the checkpoint's path leads to. Links within either are followed, as those
/// of a Kubernetes ConfigMap.
pub(super) struct OwnFolder<'a> {
    listed: &'a Path,
    resolved: &'a Path,
}

enum Found {
    File(File),
    Nothing,
    Outside,
}

impl<'a> OwnFolder<'a> {
    /// Selects the folder of a checkpoint. `resolved` is its path without symlinks.
    pub(super) fn of(checkpoint: &'a Path, resolved: &'a Path) -> Self {
        OwnFolder { listed: parent(checkpoint), resolved: parent(resolved) }
    }

    /// Reads a file that stands beside the checkpoint. Returns `None` if there is no such file.
    pub(super) fn read(&self, path: &Path, reader: FileReader) -> Result<Option<(Vec<u8>, Identity)>, CheckpointError> {
        let refusal = |error| CheckpointError::Sidecar(self.name(path), error);
        match self.open(path).map_err(refusal)? {
            Found::File(file) => reader.read_open(&file).map(Some).map_err(refusal),
            Found::Nothing => Ok(None),
            Found::Outside => Err(CheckpointError::Outside(self.name(path))),
        }
    }

    /// Returns a file's name relative to the folder, or its path if it is elsewhere.
    pub(super) fn name(&self, path: &Path) -> String {
        path.strip_prefix(self.listed).unwrap_or(path).to_string_lossy().into_owned()
    }

    fn open(&self, path: &Path) -> Result<Found, ReadError> {
        // WASI resolves no paths. Its symlinks never lead out of a mount.
        if cfg!(target_os = "wasi") {
            return found(open(path));
        }
        // A link may be swapped between the two calls.
        for _ in 0..MAX_TRIES {
            let resolved = match resolve(path) {
                Err(error) if is_absence(&error) => return Ok(Found::Nothing),
                resolved => resolved?,
            };
            if !self.contains(&resolved)? {
                return Ok(Found::Outside);
            }
            if let Some(file) = open_resolved(&resolved)? {
                return Ok(Found::File(file));
            }
        }
        Err(ReadError::Changing)
    }

    fn contains(&self, resolved: &Path) -> io::Result<bool> {
        Ok(resolved.starts_with(self.resolved) || resolved.starts_with(resolve(self.listed)?))
    }
}

fn found(opened: io::Result<File>) -> Result<Found, ReadError> {
    match opened {
        Err(error) if is_absence(&error) => Ok(Found::Nothing),
        opened => Ok(Found::File(opened?)),
    }
}
