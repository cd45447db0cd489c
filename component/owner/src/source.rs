use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::identity::Identity;
use crate::listing::{Listing, Shelf};
use crate::names::{Beside, EXTENSIONS, PREFIX, STATISTICS, with_suffix};
use crate::settings::{defaults, is_blank};

/// Where the checkpoint comes from.
#[derive(Debug, Clone)]
pub struct Source {
    pub(crate) location: Location,
    pub limits: Limits,
    /// How a file or a folder is identified. Tests put a coarser clock here.
    pub identify: fn(&Stat) -> Identity,
    pub(crate) shelf: Shelf,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A larger file is refused before it is read.
    pub max_bytes: u64,
    /// A file younger than this when it was read is looked at once more when it has aged, and so is a folder: longer
    /// than the tick of any file system's clock, which NFS makes a second.
    pub settle: Duration,
    /// Of how many candidates, the newest, one may be found to serve.
    pub max_tries: usize,
    /// The folder is listed and all of its candidates are looked at this long after the last time, though nothing that
    /// a request looks at changed: that shows the touch of one that is not in service, among many; or anything, on a
    /// file system that does not date its folders. Where that takes long it is done less often: see `Listing`.
    pub sweep: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (settle, sweep) = (Duration::from_secs(2), Duration::from_millis(100));
        Limits { max_bytes: defaults::MAX_CHECKPOINT_BYTES, settle, max_tries: 8, sweep }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    File(PathBuf),
    Folder(PathBuf),
}

/// A file that could serve.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// As it was found: symlinks are not resolved.
    pub path: PathBuf,
    pub identity: Identity,
    /// Of the statistics beside it, where there are any.
    pub statistics: Option<Identity>,
    pub(crate) beside: Beside,
}

impl Source {
    /// One file (`model`), else a folder (`dir`), else [`defaults::FOLDER`]. A blank value counts as unset; a leading
    /// `~` is `home`. What is set decides alone: a missing file or an empty folder never falls through to the next.
    pub fn new(model: Option<&Path>, dir: Option<&Path>, home: Option<&Path>) -> Self {
        let given = |path: Option<&Path>| path.filter(|p| !is_blank(p.as_os_str())).map(|p| expand(p, home));
        let location = match (given(model), given(dir)) {
            (Some(file), _) => Location::File(file),
            (None, Some(folder)) => Location::Folder(folder),
            (None, None) => Location::Folder(defaults::FOLDER.into()),
        };
        Source { location, limits: Limits::default(), identify: Identity::of, shelf: Shelf::default() }
    }

    /// The file or the folder.
    pub fn path(&self) -> &Path {
        match &self.location {
            Location::File(path) | Location::Folder(path) => path,
        }
    }

    /// The files that could serve, newest first: by mtime, then by name. A file that is gone or cannot be reached, or
    /// a folder that does not exist yet, gives none. The error is one that may pass, and says nothing about the files.
    /// It is asked of the file system anew.
    pub fn candidates(&self) -> io::Result<Vec<Candidate>> {
        Ok(Listing::of(self, self.folder()?, None)?.candidates)
    }

    /// Of the folder, if there is one now.
    pub(crate) fn folder(&self) -> io::Result<Option<Identity>> {
        match &self.location {
            Location::File(_) => Ok(None),
            Location::Folder(folder) => self.identity(folder),
        }
    }

    /// None where nothing is there, or nothing that can be reached. The error is one that may pass.
    pub(crate) fn identity(&self, path: &Path) -> io::Result<Option<Identity>> {
        match rustix::fs::stat(path).map_err(io::Error::from) {
            Ok(stat) => Ok(Some((self.identify)(&stat))),
            Err(error) if may_pass(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Of the statistics beside a checkpoint. The error is one that may pass.
    pub(crate) fn statistics(&self, checkpoint: &Path, beside: Beside) -> io::Result<Option<Identity>> {
        let path = if beside.statistics { statistics(checkpoint) } else { None };
        path.map_or(Ok(None), |path| self.identity(&path))
    }
}

/// What an operator reads when there is no candidate.
impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.location {
            Location::File(path) => write!(f, "{}", path.display()),
            Location::Folder(folder) => {
                write!(f, "{}/{PREFIX}*.{{{}}}", folder.display(), EXTENSIONS.join(","))
            }
        }
    }
}

/// Where a checkpoint's statistics would be, if it is of a kind that has them.
pub(crate) fn statistics(checkpoint: &Path) -> Option<PathBuf> {
    (checkpoint.extension()? == STATISTICS.0).then(|| with_suffix(checkpoint.as_os_str(), STATISTICS.1).into())
}

pub(crate) fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Whether an error is of the machine or the network, at this moment, and not of the file.
pub(crate) fn may_pass(error: &io::Error) -> bool {
    let Some(code) = error.raw_os_error() else { return false };
    [Errno::IO, Errno::STALE, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::TIMEDOUT, Errno::INTR]
        .contains(&Errno::from_raw_os_error(code))
}

fn expand(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}
