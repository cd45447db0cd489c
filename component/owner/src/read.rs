use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use rustix::fs::{Mode, OFlags};
use thiserror::Error;

use crate::digest;
use crate::identity::Identity;
use crate::names::{DIGEST, with_suffix};
use crate::source::{Candidate, Source, is_regular, statistics};

const MAX_READS: usize = 3;
const MAX_SIDECAR_BYTES: u64 = 64 << 10;

/// A checkpoint's bytes, read through one descriptor from a file that did not change meanwhile.
#[derive(Debug, Clone)]
pub struct Content {
    /// Absolute, symlinks resolved.
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// In lowercase hexadecimal.
    pub sha256: String,
    pub identity: Identity,
    /// The VecNormalize statistics beside it: its bytes and their sha256.
    pub statistics: Option<Statistics>,
    pub read_at: SystemTime,
    /// When to compare the content once more, for a file that was young when it was read.
    pub(crate) recheck_at: Option<Instant>,
}

/// What stands beside a model of Stable-Baselines3.
#[derive(Debug, Clone)]
pub struct Statistics {
    pub bytes: Vec<u8>,
    pub(crate) sha256: String,
    pub(crate) identity: Identity,
}

#[derive(Debug, Error)]
pub enum ReadError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("not a regular file")]
    NotRegular,
    #[error("{size} bytes, over the limit of {limit} for a checkpoint")]
    TooLarge { size: u64, limit: u64 },
    #[error("it kept changing while it was read ({MAX_READS} times)")]
    Changing,
    #[error("its sha256 is {found}, but {} says {expected}", sidecar.display())]
    WrongDigest { found: String, expected: String, sidecar: PathBuf },
    #[error("{} holds no sha256 for it", .0.display())]
    NoDigest(PathBuf),
    #[error("{}: {}", .0.display(), .1)]
    Statistics(PathBuf, Box<ReadError>),
}

impl Content {
    /// The digests of all that was read, for a comparison.
    pub(crate) fn digests(&self) -> Digests {
        (self.sha256.clone(), self.statistics.as_ref().map(|statistics| statistics.sha256.clone()))
    }
}

/// Of a checkpoint, and of the statistics beside it.
pub(crate) type Digests = (String, Option<String>);

impl Source {
    /// Reads a candidate. Blocks on the file system, and on nothing that a FIFO or a device could delay.
    pub fn read(&self, candidate: &Candidate) -> Result<Content, ReadError> {
        // Resolved before it is opened, so that the path that is told is the one that was read.
        let path = resolve(&candidate.path)?;
        let (now, read_at) = (Instant::now(), SystemTime::now());
        let (bytes, identity) = self.read_whole(&path)?;
        let sha256 = digest::sha256(&bytes);
        verify(&candidate.path, &sha256)?;
        let statistics = self.read_statistics(&candidate.path)?;
        let settle = self.limits.settle;
        let identities = [Some(identity), statistics.as_ref().map(|statistics| statistics.identity)];
        let young = identities.iter().flatten().any(|identity| identity.is_younger_than(settle, read_at));
        let recheck_at = young.then(|| now + settle);
        Ok(Content { path, bytes, sha256, identity, statistics, read_at, recheck_at })
    }

    fn read_whole(&self, path: &Path) -> Result<(Vec<u8>, Identity), ReadError> {
        let file = open(path)?;
        for _ in 0..MAX_READS {
            let before = self.check(&file)?;
            let mut bytes = Vec::with_capacity(before.size as usize);
            let mut reader = &file;
            io::Seek::rewind(&mut reader)?;
            // One byte more than there should be, lest a growing file is read without end.
            reader.take(before.size + 1).read_to_end(&mut bytes)?;
            if self.check(&file)? == before && bytes.len() as u64 == before.size {
                return Ok((bytes, before));
            }
        }
        Err(ReadError::Changing)
    }

    fn read_statistics(&self, checkpoint: &Path) -> Result<Option<Statistics>, ReadError> {
        let Some(path) = statistics(checkpoint) else { return Ok(None) };
        match self.read_whole(&path) {
            Ok((bytes, identity)) => Ok(Some(Statistics { sha256: digest::sha256(&bytes), bytes, identity })),
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ReadError::Statistics(path, Box::new(error))),
        }
    }

    fn check(&self, file: &File) -> Result<Identity, ReadError> {
        let stat = rustix::fs::fstat(file).map_err(io::Error::from)?;
        let identity = (self.identify)(&stat);
        let limit = self.limits.max_bytes;
        match identity.size {
            _ if !is_regular(&stat) => Err(ReadError::NotRegular),
            size if size > limit => Err(ReadError::TooLarge { size, limit }),
            _ => Ok(identity),
        }
    }
}

/// The file that holds a checkpoint's digest, if there is one: sha256sum's output, beside it.
pub(crate) fn sidecar(checkpoint: &Path) -> PathBuf {
    with_suffix(checkpoint.as_os_str(), DIGEST).into()
}

fn verify(checkpoint: &Path, sha256: &str) -> Result<(), ReadError> {
    let sidecar = sidecar(checkpoint);
    let file = match open(&sidecar) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut sums = String::new();
    if is_regular(&rustix::fs::fstat(&file).map_err(io::Error::from)?) {
        file.take(MAX_SIDECAR_BYTES).read_to_string(&mut sums)?;
    }
    let name = checkpoint.file_name().unwrap_or_default().to_string_lossy();
    match digest::find(&sums, &name) {
        Some(expected) if expected.eq_ignore_ascii_case(sha256) => Ok(()),
        Some(expected) => {
            Err(ReadError::WrongDigest { found: sha256.to_owned(), expected: expected.to_owned(), sidecar })
        }
        None => Err(ReadError::NoDigest(sidecar)),
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    Ok(File::from(file))
}

fn resolve(path: &Path) -> io::Result<PathBuf> {
    if cfg!(target_os = "wasi") { std::path::absolute(path) } else { path.canonicalize() }
}
