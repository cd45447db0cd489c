//! Where checkpoints come from: one file, or the newest of a folder.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::Guard;

use super::absence::Absence;
use super::cache::ListingCache;
use super::content::Content;
use super::error::CheckpointError;
use super::finder::{Candidate, Finder, Location};
use super::limits::Limits;
use super::listing::Listing;
use super::names::Names;
use crate::settings::{Patterns, defaults, is_blank};
use crate::text::{one_line, path_line};
use crate::watch::{Failure, FileReader, FileState, Identify, Identity, Seen, Watch};

/// Where checkpoints come from: one file, or a folder of candidates.
#[derive(Debug, Clone)]
pub struct Source {
    location: Location,
    /// The limits within which a checkpoint is looked for.
    pub limits: Limits,
    /// The names of the candidates in a folder.
    pub patterns: Patterns,
    /// The VecNormalize statistics of all checkpoints that may have some. Any found beside a checkpoint then count for
    /// nothing.
    pub vecnormalize: Option<PathBuf>,
    /// Identifies files and folders; [`Identity::of`] by default. Tests use a slower clock.
    pub identify: Identify,
    pub(super) cache: ListingCache,
}

impl Source {
    /// Selects the file `model`, else the folder `dir`, else the folder [`defaults::FOLDER`]. A blank path counts as unset,
    /// and `home` takes the place of a leading `~`. The path that is set decides alone: if its file is missing or its
    /// folder is empty, nothing falls through to the next one.
    pub fn new(model: Option<&Path>, dir: Option<&Path>, home: Option<&Path>) -> Self {
        let given =
            |path: Option<&Path>| path.filter(|path| !is_blank(path.as_os_str())).map(|path| expand(path, home));
        let location = match (given(model), given(dir)) {
            (Some(file), _) => Location::File(file),
            (None, Some(folder)) => Location::Folder(folder),
            (None, None) => Location::Folder(defaults::FOLDER.into()),
        };
        Source {
            location,
            limits: Limits::default(),
            patterns: Patterns::default(),
            vecnormalize: None,
            identify: Identity::of,
            cache: ListingCache::default(),
        }
    }

    /// Sets the file of VecNormalize statistics. The path is treated as those of [`Source::new`].
    pub fn with_vecnormalize(self, path: Option<&Path>, home: Option<&Path>) -> Self {
        let given = path.filter(|path| !is_blank(path.as_os_str())).map(|path| expand(path, home));
        Source { vecnormalize: given, ..self }
    }

    /// Returns a source of one file, with the limits and the statistics of this one.
    pub fn of_file(&self, file: &Path) -> Self {
        Source { location: Location::File(file.to_owned()), ..self.clone() }
    }

    /// Returns a source of the candidates in a folder, with the limits, the patterns and the statistics of this one.
    pub fn of_folder(&self, folder: &Path) -> Self {
        Source { location: Location::Folder(folder.to_owned()), ..self.clone() }
    }

    /// Returns `true` if the folder has the name of a candidate, or if this is a source of one file. It asks for nothing but
    /// the names in the folder.
    ///
    /// # Errors
    /// An error may pass, and says nothing about the files.
    pub fn may_have_candidates(&self) -> io::Result<bool> {
        match &self.location {
            Location::File(_) => Ok(true),
            Location::Folder(folder) => Ok(!Names::read(folder, &self.patterns)?.checkpoints.is_empty()),
        }
    }

    /// Returns the path of the file or the folder.
    pub fn path(&self) -> &Path {
        match &self.location {
            Location::File(path) | Location::Folder(path) => path,
        }
    }

    /// Returns the folder of the candidates, unless this is a source of one file.
    pub fn folder(&self) -> Option<&Path> {
        match &self.location {
            Location::File(_) => None,
            Location::Folder(folder) => Some(folder),
        }
    }

    /// Lists the files that could serve, newest first: by mtime, then by name, in which numbers compare as numbers. A file that
    /// is gone or cannot be reached is no candidate, and a folder that does not exist has none. This does not use the last
    /// listing.
    ///
    /// # Errors
    /// An error may pass, and says nothing about the files.
    pub fn candidates(&self) -> io::Result<Vec<Candidate>> {
        let finder = self.finder();
        Ok(Listing::make(finder, finder.folder()?, None, None)?.candidates)
    }

    /// Reads a candidate and what stands beside it. This blocks on the file system.
    ///
    /// # Errors
    /// The candidate is refused.
    pub fn read(&self, candidate: &Candidate) -> Result<Content, CheckpointError> {
        Content::read(candidate, self.reader())
    }

    /// Returns the reason why the last listing has no candidate. This makes no file call.
    pub fn absence(&self) -> Option<Absence> {
        self.cache.last.load().absence.clone()
    }

    /// Returns a file that appeared while the source was watched, and that an older modification time keeps from serving. This
    /// makes no file call.
    pub fn passed_over(&self) -> Option<Arc<PathBuf>> {
        self.cache.last.load().passed_over.clone()
    }

    /// Returns the paths that the next look asks for if nothing has changed, and the time from which it asks for more. Until
    /// then, an owner that finds each of them as it was before the last look need not look. There are none if the next look
    /// asks for more at once. This makes no file call.
    pub fn watched(&self) -> Option<(Vec<PathBuf>, Instant)> {
        let last = self.cache.last.load();
        let paths = || {
            let beside = last.watched(&self.limits).map(|(path, _)| path);
            std::iter::once(self.location.folder()).chain(beside).map(Path::to_owned).collect()
        };
        let until = last.began.checked_add(last.rest(self.limits.sweep))?;
        (!last.is_provisional).then(|| (paths(), until))
    }

    fn finder(&self) -> Finder<'_> {
        Finder {
            location: &self.location,
            limits: &self.limits,
            patterns: &self.patterns,
            vecnormalize: self.vecnormalize.as_deref(),
            reader: self.reader(),
        }
    }

    pub(super) fn reader(&self) -> FileReader {
        FileReader { identify: self.identify, max_bytes: self.limits.max_bytes, noun: Self::NOUN }
    }
}

impl Watch for Source {
    const NOUN: &'static str = "checkpoint";
    type Listing = CachedListing;
    type Candidate = Candidate;
    type Content = Content;

    fn settle(&self) -> Duration {
        self.limits.settle
    }

    fn look(&self, serving: Option<&Path>) -> io::Result<CachedListing> {
        self.cache.look(self.finder(), serving).map(CachedListing)
    }

    fn look_anew(&self, serving: Option<&Path>) -> io::Result<CachedListing> {
        self.cache.look_anew(self.finder(), serving).map(CachedListing)
    }

    fn lists(&self, listing: &CachedListing, path: &Path) -> bool {
        listing.0.candidates.iter().any(|candidate| candidate.is_at(path))
    }

    fn considered<'a>(
        &'a self,
        listing: &'a CachedListing,
        serving: Option<&'a Path>,
    ) -> impl Iterator<Item = &'a Candidate> {
        listing.0.considered(serving, &self.limits)
    }

    fn read(&self, candidate: &Candidate) -> Result<(Seen, Content), Failure> {
        let content = Source::read(self, candidate)?;
        let state = FileState {
            path: candidate.state.path.clone(),
            identity: content.identity,
            companions: content.sidecars.iter().map(|sidecar| sidecar.identity).collect(),
        };
        Ok((Seen::read(state, content.began, self.limits.settle), content))
    }

    fn digests(content: &Content) -> Vec<String> {
        content.digests()
    }

    /// A checkpoint that is refused for its sha256 may be right once the file beside it is.
    fn remedy(&self, candidate: &Candidate) -> Option<Identity> {
        candidate.sidecars.digest.then(|| self.finder().digest(&candidate.state.path)).flatten()
    }
}

/// A listing that requests share.
pub struct CachedListing(pub(super) Guard<Arc<Listing>>);

/// The file, or the pattern of the folder's candidates.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::File(path) => f.write_str(&path_line(path)),
            Location::Folder(folder) => write!(f, "{}/{}", path_line(folder), one_line(&self.patterns.to_string())),
        }
    }
}

fn expand(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}
