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

/// The reason why a candidate is refused unread.
#[derive(Debug)]
pub struct Unread {
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

impl From<ReadError> for Unread {
    fn from(error: ReadError) -> Self {
        Unread { detail: error.to_string(), may_pass: matches!(error, ReadError::Io(_)) }
    }
}

/// Opens a file for reading. A FIFO or a device delays nothing.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::empty())
}

/// Opens a file as [`open`] does, unless it is a symlink.
pub(crate) fn open_unlinked(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::NOFOLLOW)
}

fn open_with(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | flags;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Returns `true` for a regular file.
pub(crate) fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Returns `true` if the machine or the network causes an error at this moment, and not the file.
pub(crate) fn may_pass(error: &io::Error) -> bool {
    let Some(code) = error.raw_os_error() else { return false };
    [Errno::IO, Errno::STALE, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::TIMEDOUT, Errno::INTR]
        .contains(&Errno::from_raw_os_error(code))
}

/// Returns a sha256 in lowercase hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
