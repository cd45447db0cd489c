//! Looks at a file, and reads it whole while it does not change.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::identity::{Identify, Identity};

const MAX_READS: usize = 3;
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Looks at files and reads them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileReader {
    pub(crate) identify: Identify,
    /// A larger file is refused before it is read.
    pub(crate) max_bytes: u64,
    /// The word for the file in errors.
    pub(crate) noun: &'static str,
}

/// A file cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file system returns an error.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The path leads to a folder, a device, a socket or a FIFO.
    #[error("not a regular file")]
    NotRegular,
    /// The file is larger than allowed. It was not read.
    #[error("{size} bytes, over the limit of {limit} for a {noun}")]
    TooLarge {
        /// The size in bytes.
        size: u64,
        /// The largest size in bytes.
        limit: u64,
        /// See [`Watch::NOUN`](crate::Watch::NOUN).
        noun: &'static str,
    },
    /// Something writes the file all the time.
    #[error("it kept changing while it was read ({MAX_READS} times)")]
    Changing,
}

/// The reason why a candidate is refused.
#[derive(Debug)]
pub struct Failure {
    /// The reason, in one line.
    pub detail: String,
    /// True if another try may succeed although the file stays the same.
    pub may_pass: bool,
}

impl FileReader {
    /// Returns the identity of the file that a path leads to. Returns `None` if there is none, or none that can be reached.
    ///
    /// # Errors
    /// An error may pass, and says nothing about the file.
    pub(crate) fn identity(&self, path: &Path) -> io::Result<Option<Identity>> {
        match rustix::fs::stat(path).map_err(io::Error::from) {
            Ok(stat) => Ok(Some((self.identify)(&stat))),
            Err(error) if may_pass(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Reads a file through one descriptor. If the file changes meanwhile, it is read again.
    pub(crate) fn read(&self, path: &Path) -> Result<(Vec<u8>, Identity), ReadError> {
        self.read_open(&open(path)?)
    }

    /// Reads an open file as [`FileReader::read`] does.
    pub(crate) fn read_open(&self, file: &File) -> Result<(Vec<u8>, Identity), ReadError> {
        for _ in 0..MAX_READS {
            let before = self.check(file)?;
            let mut bytes = Vec::with_capacity(before.size as usize);
            let mut reader = file;
            reader.rewind()?;
            // One byte more than the size bounds the read of a file that grows.
            reader.take(before.size + 1).read_to_end(&mut bytes)?;
            if self.check(file)? == before && bytes.len() as u64 == before.size {
                return Ok((bytes, before));
            }
        }
        Err(ReadError::Changing)
    }

    fn check(&self, file: &File) -> Result<Identity, ReadError> {
        let stat = rustix::fs::fstat(file).map_err(io::Error::from)?;
        let identity = (self.identify)(&stat);
        let FileReader { max_bytes: limit, noun, .. } = *self;
        match identity.size {
            _ if !is_regular(&stat) => Err(ReadError::NotRegular),
            size if size > limit => Err(ReadError::TooLarge { size, limit, noun }),
            _ => Ok(identity),
        }
    }
}

/// A reason that is a fault of the file.
impl From<String> for Failure {
    fn from(detail: String) -> Self {
        Failure { detail, may_pass: false }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Failure { detail: error.to_string(), may_pass: matches!(error, ReadError::Io(_)) }
    }
}

/// Opens a file for reading. A FIFO or a device delays nothing.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::empty())
}

/// Opens the file at a path without symlinks, as [`open`] does. Returns `None` if the path leads to no file, or contains a
/// symlink by now.
pub(crate) fn open_resolved(path: &Path) -> io::Result<Option<File>> {
    match open_unlinked(path) {
        Err(error) if is_absence(&error) || is_one_of(&error, &[Errno::LOOP]) => Ok(None),
        file => file.map(Some),
    }
}

fn open_unlinked(path: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    match rustix::fs::openat2(rustix::fs::CWD, path, FLAGS, Mode::empty(), rustix::fs::ResolveFlags::NO_SYMLINKS) {
        // The kernel is older than 5.6, or a filter of system calls is older than it.
        Err(Errno::NOSYS | Errno::PERM) => {}
        file => return Ok(File::from(file?)),
    }
    // A folder on the way may be a symlink by now, which is not noticed here.
    open_with(path, OFlags::NOFOLLOW)
}

fn open_with(path: &Path, flags: OFlags) -> io::Result<File> {
    Ok(File::from(rustix::fs::open(path, FLAGS | flags, Mode::empty())?))
}

/// Returns `true` for a regular file.
fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Returns `true` if an error says that a path leads to no file. Such is the one of a name that is too long for any file.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::NOENT, Errno::NOTDIR, Errno::NAMETOOLONG])
}

/// Returns `true` if the machine or the network causes an error at this moment, and not the file.
pub fn may_pass(error: &io::Error) -> bool {
    let passing = [Errno::IO, Errno::STALE, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::TIMEDOUT, Errno::INTR];
    is_one_of(error, &passing)
}

fn is_one_of(error: &io::Error, all: &[Errno]) -> bool {
    error.raw_os_error().is_some_and(|code| all.contains(&Errno::from_raw_os_error(code)))
}

/// Returns a sha256 in lowercase hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_resolved_path_is_not_opened_if_it_contains_a_symlink_by_now() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("resolved");
        fs::create_dir(root.join("own")).expect("made");
        fs::write(root.join("own/file"), "x").expect("written");
        let opened = |path: &str| open_resolved(&root.join(path)).expect("no error").is_some();
        assert!(opened("own/file") && !opened("own/none") && !opened("own/file/file"));
        assert!(!opened(&"x".repeat(300)));
        symlink("own/file", root.join("link")).expect("linked");
        symlink("own", root.join("folder")).expect("linked");
        assert!(!opened("link"));
        if cfg!(target_os = "linux") {
            assert!(!opened("folder/file"));
        }
    }
}
