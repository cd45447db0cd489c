//! The candidates of a location, and what a request checks of them.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::absence::Absence;
use super::finder::{Candidate, Finder, Location, parent};
use super::limits::Limits;
use super::names::Names;
use super::sidecars::{Shared, SidecarFinder};
use crate::watch::Identity;

/// If a listing takes longer than [`Limits::sweep`], as that of thousands of files does under Spin or on NFS, the next one
/// begins this many times as much later. Otherwise requests would do little else.
const REST: u32 = 10;
/// The next listing begins at most this many times [`Limits::sweep`] later.
const MAX_REST: u32 = 100;

/// The candidates as they were when all of them were checked.
///
/// A request uses the last listing while the folder and the watched files have the same identities. Otherwise, or when the
/// listing is as old as [`Limits::sweep`], it makes another.
#[derive(Debug)]
pub(super) struct Listing {
    /// Newest first: by mtime, then by name, in which numbers compare as numbers.
    pub(super) candidates: Vec<Candidate>,
    /// Names that lead to no file, such as a symlink's. A file may appear behind them while the folder stays the same.
    dangling: Vec<PathBuf>,
    /// The sidecars that all candidates have.
    shared: Shared,
    /// The reason why there is no candidate.
    pub(super) absence: Option<Absence>,
    /// A file that has appeared since there are listings, and is older than the file in service.
    pub(super) passed_over: Option<Arc<PathBuf>>,
    /// The index of the file in service, if it is not among the watched.
    serving: Option<usize>,
    /// The folder before it was read: a change during the read makes the next request list again. It is the file's
    /// folder if the location is a file, and `None` if there is no such folder.
    pub(super) folder: Option<Identity>,
    /// A moment at which the folder was already known to have this identity.
    known_since: Instant,
    /// True while the folder may get another entry and keep its identity. Each request then makes another listing.
    pub(super) is_provisional: bool,
    pub(super) began: Instant,
    took: Duration,
}

impl Listing {
    /// Checks everything. `folder` is the identity that the folder just had, `serving` the path of the file in service, and
    /// `before` the listing that this one replaces.
    pub(super) fn make(
        finder: Finder,
        folder: Option<Identity>,
        serving: Option<&Path>,
        before: Option<&Listing>,
    ) -> io::Result<Self> {
        let began = Instant::now();
        let limits = finder.limits;
        let known_since = before.filter(|before| before.folder == folder).map_or(began, |before| before.known_since);
        let (now, known_for) = (SystemTime::now(), began - known_since);
        let is_provisional = folder.is_some_and(|folder| folder.is_within_a_tick(limits.settle, now, known_for));
        let mut listing = Listing { folder, known_since, is_provisional, ..Listing::empty(began) };
        match finder.location {
            Location::File(path) => {
                let sidecars = SidecarFinder { finder, names: None };
                listing.shared = sidecars.shared(parent(path))?;
                listing.add(&sidecars, path.clone())?;
                listing.absence = listing.candidates.is_empty().then_some(Absence::NoFile);
            }
            Location::Folder(path) => {
                let names = Names::read(path, finder.patterns)?;
                listing.candidates.reserve(names.checkpoints.len());
                let sidecars = SidecarFinder { finder, names: Some(&names) };
                listing.shared = sidecars.shared(path)?;
                for name in &names.checkpoints {
                    listing.add(&sidecars, path.join(name))?;
                }
                listing.absence = listing.candidates.is_empty().then(|| names.absence(finder.patterns));
            }
        }
        listing.candidates.sort_unstable_by(|a, b| b.rank(a));
        listing.passed_over = before.zip(serving).and_then(|(before, serving)| listing.passed_over(before, serving));
        let watched = limits.watched();
        let is_serving = |candidate: &Candidate| serving.is_some_and(|serving| candidate.is_at(serving));
        listing.serving = listing.candidates.iter().skip(watched).position(is_serving).map(|index| watched + index);
        listing.took = began.elapsed();
        Ok(listing)
    }

    /// A listing that the first request replaces.
    pub(super) fn empty(began: Instant) -> Self {
        Listing {
            candidates: Vec::new(),
            dangling: Vec::new(),
            shared: Vec::new(),
            absence: None,
            passed_over: None,
            serving: None,
            folder: None,
            known_since: began,
            is_provisional: true,
            began,
            took: Duration::ZERO,
        }
    }

    /// Returns the candidates that are newer than the file at `serving`, as many as may be tried, and that file itself. It
    /// outlives refusals of anything newer and of itself, so it always counts.
    pub(super) fn considered(&self, serving: Option<&Path>, limits: &Limits) -> impl Iterator<Item = &Candidate> {
        let reach = self.candidates.len().min(limits.max_tries);
        let serving = serving.and_then(|path| self.index(path, limits));
        let newer = serving.map_or(reach, |serving| serving.min(reach));
        self.candidates[..newer].iter().chain(serving.map(|serving| &self.candidates[serving]))
    }

    /// Returns `true` if everything that is watched is as it was.
    pub(super) fn holds(&self, finder: Finder) -> io::Result<bool> {
        for (path, identity) in self.watched(finder.limits) {
            if finder.identity(path)? != identity {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the paths, beside the folder's, that a request asks for, and the identities that they had.
    pub(super) fn watched(&self, limits: &Limits) -> impl Iterator<Item = (&Path, Option<Identity>)> {
        let watched = limits.watched();
        let serving = self.serving.map(|index| &self.candidates[index]);
        let candidates = self.candidates.iter().take(watched).chain(serving).flat_map(Candidate::files);
        let shared = self.shared.iter().map(|file| (file.path.as_path(), file.identity));
        let dangling = self.dangling.iter().take(watched.saturating_sub(self.candidates.len()));
        candidates.chain(shared).chain(dangling.map(|path| (path.as_path(), None)))
    }

    /// Returns the time from the beginning of this listing to that of the next one, if nothing is seen to change.
    pub(super) fn rest(&self, sweep: Duration) -> Duration {
        if self.took < sweep { sweep } else { (self.took * REST).min(sweep * MAX_REST) }
    }

    /// Returns the index of a watched file.
    fn index(&self, path: &Path, limits: &Limits) -> Option<usize> {
        let watched = 0..self.candidates.len().min(limits.watched());
        watched.chain(self.serving).find(|index| self.candidates[*index].is_at(path))
    }

    /// Returns the newest file that is older than the one at `serving` and new in this listing, or else the one that the listing
    /// before names. There is none while a file is pinned: all others are older.
    fn passed_over(&self, before: &Listing, serving: &Path) -> Option<Arc<PathBuf>> {
        let serving = self.candidates.iter().find(|candidate| candidate.is_at(serving))?;
        (!serving.is_pinned()).then_some(())?;
        let older = self.candidates.iter().filter(|candidate| candidate.is_older_than(serving));
        let older = older.map(Candidate::path);
        // Most listings have the files of the one before, and the first has none before it.
        let may_have_more = before.is_provisional || before.folder != self.folder;
        let new = (may_have_more && !before.candidates.is_empty()).then(|| {
            let known = before.candidates.iter().map(Candidate::path).collect::<HashSet<_>>();
            older.clone().find(|path| !known.contains(path))
        });
        let last = || before.passed_over.clone().filter(|last| older.clone().any(|path| path == last.as_path()));
        new.flatten().map(|path| Arc::new(path.to_owned())).or_else(last)
    }

    fn add(&mut self, sidecars: &SidecarFinder, path: PathBuf) -> io::Result<()> {
        match sidecars.finder.identity(&path)? {
            Some(identity) => {
                let sidecars = sidecars.of(&path, &self.shared)?;
                self.candidates.push(Candidate::new(path, identity, sidecars));
            }
            None => self.dangling.push(path),
        }
        Ok(())
    }
}

// They make symlinks and FIFOs.
#[cfg(test)]
#[cfg(unix)]
mod tests;
