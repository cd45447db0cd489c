//! The content of a checkpoint and of its sidecars, verified.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::digest::verify;
use super::error::CheckpointError;
use super::finder::Candidate;
use super::own_folder::OwnFolder;
use super::sidecar_names::{self as naming, SidecarKind};
use super::sidecars::SidecarFile;
use crate::settings::MAX_CARD_BYTES;
use crate::watch::{Digest, FileReader, Identity, Moment, ReadError, resolve};

/// A checkpoint's bytes. They were read through one descriptor, from a file that did not change meanwhile.
#[derive(Debug, Clone)]
pub struct Content {
    /// The absolute path, with symlinks resolved.
    pub path: PathBuf,
    /// The whole file.
    pub bytes: Vec<u8>,
    /// The identity of the file while it was read.
    pub identity: Identity,
    /// The files beside it that belong to it.
    pub sidecars: Vec<Sidecar>,
    /// When the read began.
    pub read_at: SystemTime,
    pub(super) began: Moment,
    pub(super) digest: Digest,
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
    pub(super) digest: Digest,
    pub(super) identity: Identity,
}

impl Sidecar {
    /// Returns the sha256 of the whole file, in lowercase hexadecimal.
    pub fn sha256(&self) -> &str {
        self.digest.of(&self.bytes)
    }
}

impl Content {
    /// Returns the sha256 of the whole file, in lowercase hexadecimal. The first call computes it.
    pub fn sha256(&self) -> &str {
        self.digest.of(&self.bytes)
    }

    /// Returns the sha256 if it was computed, which a file beside the checkpoint or a young checkpoint needs.
    pub fn known_sha256(&self) -> Option<&str> {
        self.digest.known()
    }

    /// Returns the digests of the file and of the files beside it. Contents with the same ones are the same to the last byte,
    /// wherever they were read.
    pub fn digests(&self) -> Vec<String> {
        let sidecars = self.sidecars.iter();
        let sidecars = sidecars.flat_map(|it| [format!("{:?}", it.kind), it.name.clone(), it.sha256().to_owned()]);
        std::iter::once(self.sha256().to_owned()).chain(sidecars).collect()
    }

    /// Returns the same checkpoint with this card as its own, whatever stands beside it.
    pub fn with_card(mut self, bytes: Vec<u8>) -> Self {
        let kind = SidecarKind::Card;
        self.sidecars.retain(|sidecar| sidecar.kind != kind);
        let name = naming::card(&self.path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.sidecars.push(Sidecar { kind, name, bytes, identity: self.identity, digest: Digest::default() });
        self
    }

    /// Reads a checkpoint and its sidecars. Nothing that a FIFO or a device could delay blocks it.
    pub(super) fn read(candidate: &Candidate, reader: FileReader) -> Result<Self, CheckpointError> {
        let checkpoint = &candidate.state.path;
        // The path is resolved before the file is opened, so that the reported path is the one that was read.
        let path = resolve(checkpoint).map_err(ReadError::Io)?;
        let began = Moment::now();
        let (bytes, identity) = reader.read(&path)?;
        let digest = Digest::default();
        let folder = OwnFolder::of(checkpoint, &path);
        verify(checkpoint, || digest.of(&bytes), &folder, reader)?;
        let sidecars = SidecarReader { reader, folder, modified: identity.modified, taken: bytes.len() as u64 };
        let sidecars = sidecars.read(checkpoint, &candidate.sidecars.files)?;
        Ok(Content { path, bytes, identity, sidecars, read_at: began.time, began, digest })
    }
}

/// The longest time that is expected between a model and the statistics of its training.
const SAME_TRAINING: Duration = Duration::from_secs(600);

/// Reads the sidecars of one checkpoint.
struct SidecarReader<'a> {
    reader: FileReader,
    folder: OwnFolder<'a>,
    /// The mtime of the checkpoint.
    modified: SystemTime,
    /// The bytes that count towards the limit of the checkpoint.
    taken: u64,
}

impl SidecarReader<'_> {
    fn read(mut self, checkpoint: &Path, files: &[Arc<SidecarFile>]) -> Result<Vec<Sidecar>, CheckpointError> {
        if let Some(awaited) = files.iter().find(|file| file.is_awaited && file.identity.is_none()) {
            let [statistics, checkpoint] = [&awaited.path, checkpoint].map(|file| self.folder.name(file));
            return Err(CheckpointError::AwaitedStatistics { statistics, checkpoint });
        }
        let statistics = files.iter().filter(|file| file.kind == SidecarKind::Vecnormalize);
        let mut statistics = statistics.filter(|file| file.identity.is_some());
        if let (Some(first), Some(second)) = (statistics.next(), statistics.next()) {
            let [first, second] = [first, second].map(|file| self.folder.name(&file.path));
            let checkpoint = self.folder.name(checkpoint);
            return Err(CheckpointError::TwoStatistics { first, second, checkpoint });
        }
        if let Some(newer) = files.iter().find(|file| self.is_of_another(file)) {
            let [statistics, checkpoint] = [&newer.path, checkpoint].map(|file| self.folder.name(file));
            return Err(CheckpointError::NewerStatistics { statistics, checkpoint });
        }
        let read = files.iter().filter(|file| file.identity.is_some() || file.is_named);
        read.filter_map(|file| self.read_one(file).transpose()).collect()
    }

    /// Returns `true` for statistics of the folder that were written long after the checkpoint. Trainers write both within
    /// minutes, in either order.
    fn is_of_another(&self, file: &SidecarFile) -> bool {
        let is_of_folder = file.kind == SidecarKind::Vecnormalize && file.is_shared && !file.is_named;
        let written = file.identity.filter(|_| is_of_folder).map(|identity| identity.modified);
        written.is_some_and(|written| written.duration_since(self.modified).is_ok_and(|later| later > SAME_TRAINING))
    }

    /// Returns `None` if the file is gone since it was listed.
    fn read_one(&mut self, file: &SidecarFile) -> Result<Option<Sidecar>, CheckpointError> {
        let name = self.folder.name(&file.path);
        let is_card = matches!(file.kind, SidecarKind::Card | SidecarKind::FolderCard);
        let (max_bytes, noun) = match is_card {
            true => (MAX_CARD_BYTES, "card"),
            false => (self.reader.max_bytes.saturating_sub(self.taken), self.reader.noun),
        };
        let reader = FileReader { max_bytes, noun, ..self.reader };
        let read = match file.is_named {
            // The operator may name a file anywhere.
            true => reader.read(&file.path).map(Some).map_err(|error| CheckpointError::Sidecar(name.clone(), error)),
            false => self.folder.read(&file.path, reader),
        };
        match read {
            Ok(None) => Ok(None),
            Ok(Some((bytes, identity))) => {
                self.taken += if is_card { 0 } else { bytes.len() as u64 };
                Ok(Some(Sidecar { kind: file.kind, name, bytes, identity, digest: Digest::default() }))
            }
            Err(CheckpointError::Sidecar(name, ReadError::TooLarge { size, .. })) if !is_card => {
                let (size, limit) = (self.taken.saturating_add(size), self.reader.max_bytes);
                Err(CheckpointError::TooLargeTogether { name, size, limit })
            }
            Err(error) => Err(error),
        }
    }
}
