//! Asks the file system about candidates.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::limits::Limits;
use super::sidecars::{Sidecars, digest_path, statistics_path};
use crate::watch::{FileReader, FileState, Identity};

/// A file or a folder of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    File(PathBuf),
    Folder(PathBuf),
}

/// A file that could serve.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The file, with its statistics as the companion.
    pub state: FileState,
    pub(super) sidecars: Sidecars,
}

/// Asks the file system about the candidates of a location.
#[derive(Clone, Copy)]
pub(super) struct Finder<'a> {
    pub(super) location: &'a Location,
    pub(super) limits: &'a Limits,
    pub(super) reader: FileReader,
}

impl Finder<'_> {
    /// Returns the identity of the folder, if the location is one and it exists.
    pub(super) fn folder(&self) -> io::Result<Option<Identity>> {
        match self.location {
            Location::File(_) => Ok(None),
            Location::Folder(folder) => self.identity(folder),
        }
    }

    /// See [`FileReader::identity`].
    pub(super) fn identity(&self, path: &Path) -> io::Result<Option<Identity>> {
        self.reader.identity(path)
    }

    /// Returns the identity of the file that holds a checkpoint's sha256. An error counts as a missing file.
    pub(super) fn digest(&self, checkpoint: &Path) -> Option<Identity> {
        self.identity(&digest_path(checkpoint)).ok().flatten()
    }

    /// Returns the candidate at `path` as it is now, if there is one.
    pub(super) fn candidate(&self, path: &Path, sidecars: Sidecars) -> io::Result<Option<Candidate>> {
        let Some(identity) = self.identity(path)? else { return Ok(None) };
        let companion = self.statistics(path, sidecars)?;
        Ok(Some(Candidate { state: FileState { path: path.to_owned(), identity, companion }, sidecars }))
    }

    /// Returns `true` if a candidate is as it was when it was listed.
    pub(super) fn is_unchanged(&self, candidate: &Candidate) -> io::Result<bool> {
        let FileState { path, identity, companion } = &candidate.state;
        Ok(self.identity(path)? == Some(*identity) && self.statistics(path, candidate.sidecars)? == *companion)
    }

    fn statistics(&self, checkpoint: &Path, sidecars: Sidecars) -> io::Result<Option<Identity>> {
        let path = if sidecars.statistics { statistics_path(checkpoint) } else { None };
        path.map_or(Ok(None), |path| self.identity(&path))
    }
}

impl Candidate {
    /// Returns what candidates are ordered by: the mtime, then the name.
    pub(super) fn rank(&self) -> (SystemTime, &OsStr) {
        (self.state.identity.modified, self.state.path.as_os_str())
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
