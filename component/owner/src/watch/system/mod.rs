//! Asks the system about files. Each family of platforms has a file, and they offer the same functions.
//!
//! - `open` opens a file for reading. A FIFO or a device delays nothing.
//! - `open_resolved` opens the file at a path without symlinks. It returns `None` if the path leads to no file, or contains
//!   a symlink by now.
//! - `resolve` returns an absolute path without symlinks.
//! - `set_modified` sets the mtime of a file that belongs to this user.
//! - `is_absence` returns `true` if an error says that a path leads to no file, which a name that is too long for any file does
//!   not either.
//! - `may_pass` returns `true` if the machine or the network causes an error at this moment, and not the file.

#[cfg(not(windows))]
mod posix;
#[cfg(windows)]
mod windows;

use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(not(windows))]
use posix as system;
#[cfg(windows)]
use windows as system;

use super::identity::Identity;

pub(crate) use system::{is_absence, open, open_resolved, set_modified};
pub use system::{may_pass, resolve};

/// A file or a folder as the system describes it at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its identity.
    pub identity: Identity,
    /// Its kind.
    pub kind: FileKind,
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A folder.
    Folder,
    /// A device, a socket or a pipe.
    Other,
}

impl Found {
    /// Describes the file that a path leads to. Symlinks are followed.
    ///
    /// # Errors
    /// There is no such file, or it cannot be reached.
    pub fn at(path: &Path) -> io::Result<Self> {
        system::found_at(path)
    }

    /// Describes an open file.
    ///
    /// # Errors
    /// An error may pass, and says nothing about the file.
    pub fn of(file: &File) -> io::Result<Self> {
        system::found_of(file)
    }
}
