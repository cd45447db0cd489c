//! Looks at a file, and reads it whole while it does not change.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use thiserror::Error;

use super::identity::{Identify, Identity};
use super::system::{FileKind, Found, may_pass, open};

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
        match Found::at(path) {
            Ok(found) => Ok(Some((self.identify)(&found))),
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
            let mut bytes = vec![0; before.size as usize];
            let mut reader = file;
            reader.rewind()?;
            // A file that grows is noticed by its identity, without a read that finds its end. The system gives the size 0 for
            // some files that are not empty, or that cannot be read.
            let is_whole = match reader.read_exact(&mut bytes) {
                Ok(()) => before.size > 0 || reader.read(&mut [0])? == 0,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
                Err(error) => return Err(error.into()),
            };
            if is_whole && self.check(file)? == before {
                return Ok((bytes, before));
            }
        }
        Err(ReadError::Changing)
    }

    fn check(&self, file: &File) -> Result<Identity, ReadError> {
        let found = Found::of(file)?;
        let identity = (self.identify)(&found);
        let FileReader { max_bytes: limit, noun, .. } = *self;
        match identity.size {
            _ if found.kind != FileKind::Regular => Err(ReadError::NotRegular),
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
