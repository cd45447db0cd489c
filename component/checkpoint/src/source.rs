use std::cmp::Reverse;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::identity::Identity;

/// Where checkpoints are looked for when nothing says otherwise, relative to the working directory.
pub const DEFAULT_FOLDER: &str = "cache/models/rl/stat_pair";

const PREFIX: &str = "model_";
const EXTENSIONS: &[&str] = &["onnx", "pt", "pth", "safetensors", "zip"];

/// What Stable-Baselines3's models may have beside them, after their whole name: the statistics of VecNormalize.
const STATISTICS: (&str, &str) = ("zip", ".vecnormalize.pkl");

/// Where the checkpoint comes from.
#[derive(Debug, Clone)]
pub struct Source {
    location: Location,
    pub limits: Limits,
    /// How a file is identified. Tests put a coarser clock here.
    pub identify: fn(&Stat) -> Identity,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A larger file is refused before it is read.
    pub max_bytes: u64,
    /// A file younger than this when it was read is looked at once more when it has aged: longer than the tick of any
    /// file system's clock, which NFS makes a second.
    pub settle: Duration,
    /// Of how many candidates, the newest, one may be found to serve.
    pub max_tries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_bytes: 64 << 20, settle: Duration::from_secs(2), max_tries: 8 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Location {
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
}

impl Source {
    /// One file (`model`), else a folder (`dir`), else [`DEFAULT_FOLDER`]. A blank value counts as unset; a leading
    /// `~` is `home`. What is set decides alone: a missing file or an empty folder never falls through to the next.
    pub fn new(model: Option<&Path>, dir: Option<&Path>, home: Option<&Path>) -> Self {
        let given = |path: Option<&Path>| path.filter(|p| !is_blank(p)).map(|p| expand(p, home));
        let location = match (given(model), given(dir)) {
            (Some(file), _) => Location::File(file),
            (None, Some(folder)) => Location::Folder(folder),
            (None, None) => Location::Folder(DEFAULT_FOLDER.into()),
        };
        Source { location, limits: Limits::default(), identify: Identity::of }
    }

    /// The file or the folder.
    pub fn path(&self) -> &Path {
        match &self.location {
            Location::File(path) | Location::Folder(path) => path,
        }
    }

    /// The files that could serve, newest first: by mtime, then by name. A file that is gone or cannot be reached, or
    /// a folder that does not exist yet, gives none. The error is one that may pass, and says nothing about the files.
    pub fn candidates(&self) -> io::Result<Vec<Candidate>> {
        match &self.location {
            Location::File(path) => Ok(self.candidate(path.clone())?.into_iter().collect()),
            Location::Folder(folder) => {
                let found = names(folder)?.into_iter().map(|name| self.candidate(folder.join(name)));
                let mut found = found.filter_map(Result::transpose).collect::<io::Result<Vec<_>>>()?;
                found.sort_by_cached_key(|c| Reverse((c.identity.modified, c.path.clone())));
                Ok(found)
            }
        }
    }

    pub(crate) fn identity(&self, path: &Path) -> Option<Identity> {
        rustix::fs::stat(path).ok().map(|stat| (self.identify)(&stat))
    }

    fn candidate(&self, path: PathBuf) -> io::Result<Option<Candidate>> {
        match rustix::fs::stat(&path).map_err(io::Error::from) {
            Ok(stat) => {
                let statistics = statistics(&path).and_then(|path| self.identity(&path));
                Ok(Some(Candidate { identity: (self.identify)(&stat), path, statistics }))
            }
            Err(error) if may_pass(&error) => Err(error),
            Err(_) => Ok(None),
        }
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
    (checkpoint.extension()? == STATISTICS.0).then(|| with_suffix(checkpoint, STATISTICS.1))
}

/// The file of the same name with something after it.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

pub(crate) fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Whether an error is of the machine or the network, at this moment, and not of the file.
fn may_pass(error: &io::Error) -> bool {
    let Some(code) = error.raw_os_error() else { return false };
    [Errno::IO, Errno::STALE, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::TIMEDOUT, Errno::INTR]
        .contains(&Errno::from_raw_os_error(code))
}

fn names(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let is_checkpoint = |name: &PathBuf| {
        let extension = name.extension().and_then(|e| e.to_str());
        name.as_os_str().as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if may_pass(&error) => return Err(error),
        entries => entries.into_iter().flatten().flatten(),
    };
    Ok(entries.map(|entry| PathBuf::from(entry.file_name())).filter(is_checkpoint).collect())
}

fn is_blank(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().trim_ascii().is_empty()
}

fn expand(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}
