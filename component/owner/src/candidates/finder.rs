//! Asks the file system about candidates.

use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};

use super::digest::digest_path;
use super::limits::Limits;
use super::natural::natural;
use super::sidecars::Sidecars;
use crate::settings::Patterns;
use crate::watch::{FileReader, FileState, Identity};

/// A file or a folder of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    File(PathBuf),
    Folder(PathBuf),
}

impl Location {
    /// Returns the folder, or the file's folder.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Location::File(file) => parent(file),
            Location::Folder(folder) => folder,
        }
    }
}

/// A file that could serve.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The file, with its sidecars as the companions.
    pub state: FileState,
    pub(super) sidecars: Sidecars,
}

/// Asks the file system about the candidates of a location.
#[derive(Clone, Copy)]
pub(super) struct Finder<'a> {
    pub(super) location: &'a Location,
    pub(super) limits: &'a Limits,
    pub(super) patterns: &'a Patterns,
    /// The VecNormalize statistics that the operator names.
    pub(super) vecnormalize: Option<&'a Path>,
    pub(super) reader: FileReader,
}

impl Finder<'_> {
    /// Returns the identity of the folder, or of the file's folder, if it exists.
    pub(super) fn folder(&self) -> io::Result<Option<Identity>> {
        self.identity(self.location.folder())
    }

    /// See [`FileReader::identity`].
    pub(super) fn identity(&self, path: &Path) -> io::Result<Option<Identity>> {
        self.reader.identity(path)
    }

    /// Returns the identity of the file that holds a checkpoint's sha256. An error counts as a missing file.
    pub(super) fn digest(&self, checkpoint: &Path) -> Option<Identity> {
        self.identity(&digest_path(checkpoint)).ok().flatten()
    }
}

impl Candidate {
    pub(super) fn new(path: PathBuf, identity: Identity, sidecars: Sidecars) -> Self {
        Candidate { state: FileState { path, identity, companions: sidecars.identities() }, sidecars }
    }

    pub(super) fn path(&self) -> &Path {
        &self.state.path
    }

    /// Returns `true` if the file was modified before the other one.
    pub(super) fn is_older_than(&self, other: &Candidate) -> bool {
        self.state.identity.modified < other.state.identity.modified
    }

    /// Returns the candidate and the sidecars that it shares with no other, with the identities that they had.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, Option<Identity>)> {
        let own = self.sidecars.files.iter().filter(|file| !file.is_shared);
        let FileState { path, identity, .. } = &self.state;
        std::iter::once((path.as_path(), Some(*identity))).chain(own.map(|file| (file.path.as_path(), file.identity)))
    }

    /// Compares candidates by their mtimes, then by their names, in which numbers compare as numbers.
    pub(super) fn rank(&self, other: &Candidate) -> Ordering {
        let (own, others) = (&self.state, &other.state);
        let names = || natural(own.path.as_os_str().as_encoded_bytes(), others.path.as_os_str().as_encoded_bytes());
        own.identity.modified.cmp(&others.identity.modified).then_with(names)
    }

    /// Returns `true` if the paths are the same, letter for letter.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.state.path.as_os_str() == path.as_os_str()
    }
}

impl AsRef<FileState> for Candidate {
    fn as_ref(&self) -> &FileState {
        &self.state
    }
}

/// Returns the folder of a file.
pub(super) fn parent(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
