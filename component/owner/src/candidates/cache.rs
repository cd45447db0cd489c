//! Keeps a source's last listing from request to request.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};

use super::finder::Finder;
use super::listing::Listing;
use crate::watch::Identity;

/// Keeps a source's last listing. A copy of the source has a cache of its own, because its fields may be changed.
pub(super) struct ListingCache {
    /// Read by every request. Written by the one that holds `turn`.
    pub(super) last: ArcSwap<Listing>,
    /// Held by a request that makes a listing. Others wait for it only if they cannot use the last one.
    turn: Mutex<()>,
}

impl ListingCache {
    /// Returns the candidates as they are now. Those that are not watched are as they were [`Limits::sweep`] ago at worst.
    /// The file at `serving` is watched wherever it ranks.
    ///
    /// [`Limits::sweep`]: crate::Limits::sweep
    pub(super) fn look(&self, finder: Finder, serving: Option<&Path>) -> io::Result<Guard<Arc<Listing>>> {
        let arrival = Instant::now();
        let folder = finder.folder()?;
        let last = self.last.load();
        let rest = last.rest(finder.limits.sweep);
        let age = arrival.saturating_duration_since(last.began);
        if last.is_provisional || last.folder != folder || age >= rest {
            return self.list(finder, arrival, folder, serving);
        }
        // One request lists ahead of time, so that the others need not wait.
        if age >= rest / 4 * 3
            && let Ok(_turn) = self.turn.try_lock()
        {
            return self.put(Listing::make(finder, folder, serving, Some(&last))?);
        }
        if last.holds(finder)? { Ok(last) } else { self.list(finder, arrival, folder, serving) }
    }

    /// Returns all candidates as they are now.
    pub(super) fn look_anew(&self, finder: Finder, serving: Option<&Path>) -> io::Result<Guard<Arc<Listing>>> {
        let arrival = Instant::now();
        self.list(finder, arrival, finder.folder()?, serving)
    }

    fn list(
        &self,
        finder: Finder,
        arrival: Instant,
        folder: Option<Identity>,
        serving: Option<&Path>,
    ) -> io::Result<Guard<Arc<Listing>>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.last.load();
        // Another request may have listed while this one waited.
        if last.began > arrival {
            return Ok(last);
        }
        self.put(Listing::make(finder, folder, serving, Some(&last))?)
    }

    fn put(&self, listing: Listing) -> io::Result<Guard<Arc<Listing>>> {
        let listing = Arc::new(listing);
        self.last.store(listing.clone());
        Ok(Guard::from_inner(listing))
    }
}

impl Default for ListingCache {
    fn default() -> Self {
        ListingCache { last: ArcSwap::from_pointee(Listing::empty(Instant::now())), turn: Mutex::default() }
    }
}

impl Clone for ListingCache {
    fn clone(&self) -> Self {
        ListingCache::default()
    }
}

impl fmt::Debug for ListingCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListingCache").finish_non_exhaustive()
    }
}
