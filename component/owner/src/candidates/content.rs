//! The content of a checkpoint and of its sidecars, verified.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::digest::verify;
use super::error::CheckpointError;
use super::finder::{Candidate, parent};
use super::sidecar_names::SidecarKind;
use super::sidecars::SidecarFile;
use crate::settings::MAX_CARD_BYTES;
use crate::watch::{FileReader, Identity, Moment, ReadError, open, open_unlinked, sha256};

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
    /// The files beside it that belong to it.
    pub sidecars: Vec<Sidecar>,
    /// When the read began.
    pub read_at: SystemTime,
    pub(super) began: Moment,
}

/// A file that stands beside a checkpoint. It was read as the checkpoint was.
#[derive(Debug, Clone)]
pub struct Sidecar {
    /// The kind of its content.
    pub kind: SidecarKind,
    /// The name relative to the checkpoint's folder, or the path if the operator named it.
    pub name: String,
    /// The whole file.
    pub bytes: Vec<u8>,
    pub(super) sha256: String,
    pub(super) identity: Identity,
}

impl Content {
    /// Reads a checkpoint and its sidecars. Nothing that a FIFO or a device could delay blocks it.
    pub(super) fn read(candidate: &Candidate, reader: FileReader) -> Result<Self, CheckpointError> {
        let checkpoint = &candidate.state.path;
        // The path is resolved before the file is opened, so that the reported path is the one that was read.
        let path = resolve(checkpoint).map_err(ReadError::Io)?;
        let began = Moment::now();
        let (bytes, identity) = reader.read(&path)?;
        let sha256 = sha256(&bytes);
        verify(checkpoint, &sha256)?;
        let folders = [parent(checkpoint), parent(&path)];
        let sidecars = SidecarReader { reader, folders, taken: bytes.len() as u64 };
        let sidecars = sidecars.read(checkpoint, &candidate.sidecars.files)?;
        Ok(Content { path, bytes, sha256, identity, sidecars, read_at: began.time, began })
    }
}

/// Reads the sidecars of one checkpoint.
struct SidecarReader<'a> {
    reader: FileReader,
    /// The checkpoint's folder, and the one that its path leads to.
    folders: [&'a Path; 2],
    /// The bytes that count towards the limit of the checkpoint.
    taken: u64,
}

impl SidecarReader<'_> {
    fn read(mut self, checkpoint: &Path, files: &[Arc<SidecarFile>]) -> Result<Vec<Sidecar>, CheckpointError> {
        let statistics = files.iter().filter(|file| file.kind == SidecarKind::Vecnormalize);
        let mut statistics = statistics.filter(|file| file.identity.is_some());
        if let (Some(first), Some(second)) = (statistics.next(), statistics.next()) {
            let [first, second] = [first, second].map(|file| self.name(&file.path));
            let checkpoint = self.name(checkpoint);
            return Err(CheckpointError::TwoStatistics { first, second, checkpoint });
        }
        let read = files.iter().filter(|file| file.identity.is_some() || file.is_named);
        read.filter_map(|file| self.read_one(file).transpose()).collect()
    }

    /// Returns `None` if the file is gone since it was listed.
    fn read_one(&mut self, file: &SidecarFile) -> Result<Option<Sidecar>, CheckpointError> {
        let name = self.name(&file.path);
        let is_card = matches!(file.kind, SidecarKind::Card | SidecarKind::FolderCard);
        let (max_bytes, noun) = match is_card {
            true => (MAX_CARD_BYTES, "card"),
            false => (self.reader.max_bytes.saturating_sub(self.taken), self.reader.noun),
        };
        let reader = FileReader { max_bytes, noun, ..self.reader };
        let opened = self.open(file).map_err(ReadError::Io);
        match opened.and_then(|opened| opened.map(|file| reader.read_open(&file)).transpose()) {
            Ok(Some((bytes, identity))) => {
                self.taken += if is_card { 0 } else { bytes.len() as u64 };
                Ok(Some(Sidecar { kind: file.kind, name, sha256: sha256(&bytes), bytes, identity }))
            }
            Ok(None) => Err(CheckpointError::Outside(name)),
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound && !file.is_named => Ok(None),
            Err(ReadError::TooLarge { size, .. }) if !is_card => {
                let (size, limit) = (self.taken.saturating_add(size), self.reader.max_bytes);
                Err(CheckpointError::TooLargeTogether { name, size, limit })
            }
            Err(error) => Err(CheckpointError::Sidecar(name, error)),
        }
    }

    /// Opens a sidecar. Returns `None` if symlinks lead out of the checkpoint's folder, unless the operator named the file.
    fn open(&self, file: &SidecarFile) -> io::Result<Option<File>> {
        // WASI resolves no paths. Its symlinks never lead out of a mount.
        if file.is_named || cfg!(target_os = "wasi") {
            return open(&file.path).map(Some);
        }
        let path = file.path.canonicalize()?;
        for folder in self.folders {
            if path.starts_with(folder.canonicalize()?) {
                return open_unlinked(&path).map(Some);
            }
        }
        Ok(None)
    }

    fn name(&self, path: &Path) -> String {
        path.strip_prefix(self.folders[0]).unwrap_or(path).to_string_lossy().into_owned()
    }
}

fn resolve(path: &Path) -> io::Result<PathBuf> {
    if cfg!(target_os = "wasi") { std::path::absolute(path) } else { path.canonicalize() }
}
