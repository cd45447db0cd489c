//! The state of a file that each request compares.

use std::path::PathBuf;

use super::identity::Identity;

/// A file as a listing found it.
#[derive(Debug, Clone)]
pub struct FileState {
    /// The path as it was found. Symlinks are not resolved.
    pub path: PathBuf,
    /// The identity of the file that the path leads to.
    pub identity: Identity,
    /// The identities of the files that are read together with this one, in a fixed order.
    pub companions: Vec<Identity>,
}

impl AsRef<FileState> for FileState {
    fn as_ref(&self) -> &FileState {
        self
    }
}
