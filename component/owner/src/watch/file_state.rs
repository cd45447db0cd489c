//! What a request compares of a file.

use std::path::PathBuf;

use super::identity::Identity;

/// A file as a listing found it.
#[derive(Debug, Clone)]
pub struct FileState {
    /// The path as it was found. Symlinks are not resolved.
    pub path: PathBuf,
    /// The identity of the file that the path leads to.
    pub identity: Identity,
    /// The identity of a file that is read together with this one, if there is one.
    pub companion: Option<Identity>,
}

impl AsRef<FileState> for FileState {
    fn as_ref(&self) -> &FileState {
        self
    }
}
