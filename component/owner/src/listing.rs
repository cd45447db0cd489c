use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, Guard};

use crate::identity::Identity;
use crate::names::{Beside, Names};
use crate::source::{Candidate, Location, Source};

/// So many candidates, the newest, are looked at by each request; more only if more may be tried.
const WATCHED: usize = 16;
/// Where a listing takes longer than [`crate::Limits::sweep`], as that of thousands of files does in Spin or on NFS, the
/// sweeps are so many times as far apart as that takes, lest requests do little else.
const REST: u32 = 10;
/// But no farther than so many times the usual.
const MAX_REST: u32 = 100;

/// The candidates as they were when all of them were looked at.
///
/// A request makes do with the last listing while the folder's identity and the watched files' are the same. Else, or
/// when the listing is as old as [`crate::Limits::sweep`], it makes another.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Newest first: by mtime, then by name.
    pub(crate) candidates: Vec<Candidate>,
    /// Names that led to no file, as a symlink may. One may appear behind them, and the folder stays the same.
    dangling: Vec<PathBuf>,
    /// The place of the file in service, if it is not among the watched.
    serving: Option<usize>,
    /// As it was before it was read: what comes while it is read makes the next request's differ. None for a file
    /// that was chosen, or a folder that does not exist.
    folder: Option<Identity>,
    /// The folder may have another entry and the same identity: another listing is made by each request until this
    /// has passed.
    is_provisional: bool,
    began: Instant,
    took: Duration,
}

/// Keeps a source's last listing. A source's copy has its own, for its fields may be set to others.
pub(crate) struct Shelf {
    last: ArcSwap<Listing>,
    /// Held by a request that makes a listing: others wait for it only where they cannot do with the last.
    turn: Mutex<()>,
}

impl Source {
    /// The candidates as they are now; those that are not watched, as they were [`crate::Limits::sweep`] ago at worst.
    /// `serving` is watched wherever it ranks. The error is one that may pass.
    pub(crate) fn look(&self, serving: Option<&Path>) -> io::Result<Guard<Arc<Listing>>> {
        let arrival = Instant::now();
        let folder = self.folder()?;
        let last = self.shelf.last.load();
        let rest = last.rest(self.limits.sweep);
        let age = arrival.saturating_duration_since(last.began);
        if last.is_provisional || last.folder != folder || age >= rest {
            return self.list(arrival, folder, serving);
        }
        // Ahead of time there is one request that lists, and the others need not wait for it.
        if age >= rest / 4 * 3
            && let Ok(_turn) = self.shelf.turn.try_lock()
        {
            return self.shelf.put(Listing::of(self, folder, serving)?);
        }
        if last.holds(self)? { Ok(last) } else { self.list(arrival, folder, serving) }
    }

    /// The candidates as they are now, every one of them.
    pub(crate) fn look_anew(&self, serving: Option<&Path>) -> io::Result<Guard<Arc<Listing>>> {
        let arrival = Instant::now();
        self.list(arrival, self.folder()?, serving)
    }

    fn list(
        &self,
        arrival: Instant,
        folder: Option<Identity>,
        serving: Option<&Path>,
    ) -> io::Result<Guard<Arc<Listing>>> {
        let _turn = self.shelf.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.shelf.last.load();
        // Another request listed while this one waited.
        if last.began > arrival { Ok(last) } else { self.shelf.put(Listing::of(self, folder, serving)?) }
    }
}

impl Listing {
    /// Looks at everything. `folder` is its identity as it was just now.
    pub(crate) fn of(source: &Source, folder: Option<Identity>, serving: Option<&Path>) -> io::Result<Self> {
        let began = Instant::now();
        let is_provisional =
            folder.is_some_and(|folder| folder.is_within_a_tick(source.limits.settle, SystemTime::now()));
        let mut listing = Listing { folder, is_provisional, ..Listing::nothing(began) };
        match &source.location {
            Location::File(path) => listing.add(source, path.clone(), Beside::UNKNOWN)?,
            Location::Folder(path) => {
                let names = Names::read(path)?;
                listing.candidates.reserve(names.checkpoints.len());
                for name in &names.checkpoints {
                    listing.add(source, path.join(name), names.beside(name))?;
                }
            }
        }
        listing.candidates.sort_unstable_by(|a, b| b.rank().cmp(&a.rank()));
        let watched = watched(source);
        let is_serving = |c: &Candidate| serving.is_some_and(|serving| serving.as_os_str() == c.path.as_os_str());
        listing.serving = listing.candidates.iter().skip(watched).position(is_serving).map(|place| watched + place);
        listing.took = began.elapsed();
        Ok(listing)
    }

    /// Of a file that is watched.
    pub(crate) fn place(&self, path: &Path, source: &Source) -> Option<usize> {
        let watched = 0..self.candidates.len().min(watched(source));
        watched.chain(self.serving).find(|place| self.candidates[*place].path.as_os_str() == path.as_os_str())
    }

    fn nothing(began: Instant) -> Self {
        Listing {
            candidates: Vec::new(),
            dangling: Vec::new(),
            serving: None,
            folder: None,
            is_provisional: true,
            began,
            took: Duration::ZERO,
        }
    }

    fn add(&mut self, source: &Source, path: PathBuf, beside: Beside) -> io::Result<()> {
        match source.identity(&path)? {
            Some(identity) => {
                let statistics = source.statistics(&path, beside)?;
                self.candidates.push(Candidate { path, identity, statistics, beside });
            }
            None => self.dangling.push(path),
        }
        Ok(())
    }

    /// Whether what is watched is as it was.
    fn holds(&self, source: &Source) -> io::Result<bool> {
        let serving = self.serving.map(|place| &self.candidates[place]);
        let watched = watched(source);
        for candidate in self.candidates.iter().take(watched).chain(serving) {
            if source.identity(&candidate.path)? != Some(candidate.identity)
                || source.statistics(&candidate.path, candidate.beside)? != candidate.statistics
            {
                return Ok(false);
            }
        }
        for path in self.dangling.iter().take(watched.saturating_sub(self.candidates.len())) {
            if source.identity(path)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// From its beginning to the next one's, if nothing is seen to change.
    fn rest(&self, sweep: Duration) -> Duration {
        if self.took < sweep { sweep } else { (self.took * REST).min(sweep * MAX_REST) }
    }
}

impl Candidate {
    fn rank(&self) -> (SystemTime, &OsStr) {
        (self.identity.modified, self.path.as_os_str())
    }
}

impl Shelf {
    fn put(&self, listing: Listing) -> io::Result<Guard<Arc<Listing>>> {
        let listing = Arc::new(listing);
        self.last.store(listing.clone());
        Ok(Guard::from_inner(listing))
    }
}

impl Default for Shelf {
    fn default() -> Self {
        Shelf { last: ArcSwap::from_pointee(Listing::nothing(Instant::now())), turn: Mutex::default() }
    }
}

impl Clone for Shelf {
    fn clone(&self) -> Self {
        Shelf::default()
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

fn watched(source: &Source) -> usize {
    WATCHED.max(source.limits.max_tries)
}

#[cfg(test)]
mod tests;
