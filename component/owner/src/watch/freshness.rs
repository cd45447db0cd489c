//! Judges whether what is in service is still what should be, and tries what is new.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file_state::FileState;
use super::identity::Identity;
use super::read::Failure;
use super::refused::Refused;
use super::renewal_error::RenewalError;
use super::seen::Seen;
use super::watched::Watch;

/// The file in service and the refused ones. This is a value: [`Freshness::renew`] returns the next one, which its owner
/// publishes together with what was loaded.
#[derive(Debug, Clone, Default)]
pub struct Freshness {
    serving: Option<Seen>,
    /// At most one for each path.
    refused: Vec<Arc<Refused>>,
}

/// The result of [`Freshness::judge`].
#[derive(Debug)]
pub struct Judgement<'a> {
    /// True if there is a candidate to try: call [`Freshness::renew`], one call at a time.
    pub changed: bool,
    /// True if one of the candidates to try is not known to take long. Otherwise nobody should wait for the result.
    pub is_quick: bool,
    /// True if there is no candidate at all.
    pub is_empty: bool,
    /// The newest candidate that is known to be refused, if it is newer than what serves.
    pub refusal: Option<&'a Arc<Refused>>,
}

/// The result of [`Freshness::renew`].
#[derive(Debug)]
pub struct Renewal<T> {
    /// The value that takes the place of the one that was renewed.
    pub freshness: Freshness,
    /// The result of loading the first candidate that loads.
    pub loaded: Option<T>,
    /// The candidates that were refused this time, newest first.
    pub refused: Vec<Arc<Refused>>,
    /// The error for a client who forced the renewal.
    pub outcome: Result<(), RenewalError>,
}

impl Freshness {
    /// Compares the candidates with the file in service. It reads no file, and lists a folder only if the folder changed
    /// or the last listing is old. While the candidates cannot be listed, nothing changes.
    pub fn judge<W: Watch>(&self, watched: &W) -> Judgement<'_> {
        let now = Instant::now();
        let mut judgement = Judgement { changed: false, is_quick: false, is_empty: true, refusal: None };
        let Ok(listing) = watched.look(self.path()) else {
            return Judgement { is_empty: false, refusal: self.refused.last(), ..judgement };
        };
        for candidate in watched.considered(&listing, self.path()) {
            judgement.is_empty = false;
            let Comparison { known, aged } = self.compare(candidate, watched, now);
            if aged || matches!(known, Known::Not) {
                judgement.changed = true;
                judgement.is_quick |= !self.at(candidate).is_some_and(|refused| refused.is_slow());
            }
            if let Known::Refused(refused) = known {
                judgement.refusal = judgement.refusal.or(Some(refused));
            }
        }
        judgement
    }

    /// Returns `true` if a candidate is the file in service, unchanged.
    pub fn is_serving<C: AsRef<FileState>>(&self, candidate: &C) -> bool {
        self.serving.as_ref().is_some_and(|serving| serving.is(candidate.as_ref()))
    }

    /// Returns the refusal of a candidate that is known to be refused, as it is now.
    pub fn refusal<W: Watch>(&self, candidate: &W::Candidate, watched: &W) -> Option<&Arc<Refused>> {
        self.refused.iter().find(|refused| refused.is(candidate, watched))
    }

    /// Returns `true` if a candidate is known to be refused.
    pub fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Returns `true` if a file is in service and only a change of files gives another judgement, and not time alone.
    pub fn is_settled(&self) -> bool {
        !self.has_refused() && self.serving.as_ref().is_some_and(|serving| serving.recheck_at.is_none())
    }

    /// Tries the candidates that differ from the file in service and from the refused ones, newest first, until one loads.
    /// Each path is tried once. After each try the files are listed again, so a newer one that appears meanwhile is the
    /// next. With `forced`, the newest is tried even if it is known.
    pub fn renew<W: Watch, T>(
        &self,
        watched: &W,
        forced: bool,
        mut load: impl FnMut(W::Content) -> Result<T, Failure>,
    ) -> Renewal<T> {
        let mut renewal = Renewal { freshness: self.clone(), loaded: None, refused: Vec::new(), outcome: Ok(()) };
        let listing = if forced { watched.look_anew(self.path()) } else { watched.look(self.path()) };
        let mut listing = match listing {
            Ok(listing) => listing,
            Err(error) => {
                renewal.outcome = Err(RenewalError::Unlisted { watched: watched.to_string(), error });
                return renewal;
            }
        };
        let next = &mut renewal.freshness;
        next.refused.retain(|refused| watched.lists(&listing, refused.path()));
        let (mut tried, mut forced_now) = (Vec::new(), forced);
        while let Some((candidate, aged)) = self.next(watched, &listing, &tried, forced_now) {
            forced_now = false;
            tried.push(candidate.as_ref().path.clone());
            match next.attempt(candidate, watched, aged && !forced, &mut load) {
                Ok(Attempt::Same) => {}
                Ok(Attempt::Loaded(loaded)) => {
                    renewal.loaded = Some(loaded);
                    break;
                }
                Err(refused) => renewal.refused.push(refused),
            }
            // If the files cannot be listed, the next request tries the rest.
            let Ok(now) = watched.look(self.path()) else { break };
            listing = now;
        }
        renewal.outcome = match renewal.refused.first() {
            Some(refused) => Err(RenewalError::Refused(refused.clone())),
            None if forced && renewal.loaded.is_none() && self.serving.is_some() => {
                Err(RenewalError::Missing { noun: W::NOUN, watched: watched.to_string() })
            }
            None => Ok(()),
        };
        renewal
    }

    /// Returns the newest candidate that is worth a try, and `true` if it is one that was young and has aged. With `forced`,
    /// returns the newest of all.
    fn next<'a, W: Watch>(
        &'a self,
        watched: &'a W,
        listing: &'a W::Listing,
        tried: &[PathBuf],
        forced: bool,
    ) -> Option<(&'a W::Candidate, bool)> {
        let now = Instant::now();
        watched.considered(listing, self.path()).find_map(|candidate| {
            let Comparison { known, aged } = self.compare(candidate, watched, now);
            let is_due = forced || aged || matches!(known, Known::Not);
            (is_due && !tried.contains(&candidate.as_ref().path)).then_some((candidate, aged))
        })
    }

    /// Returns the path of the file in service.
    fn path(&self) -> Option<&Path> {
        self.serving.as_ref().map(|serving| serving.state.path.as_path())
    }

    fn compare<W: Watch>(&self, candidate: &W::Candidate, watched: &W, now: Instant) -> Comparison<'_> {
        let aged = |seen: &Seen| seen.recheck_at.is_some_and(|at| now >= at);
        // Refusals come first: the file in service may have been overwritten within a tick of its clock.
        if let Some(refused) = self.refusal(candidate, watched) {
            return Comparison { known: Known::Refused(refused), aged: aged(&refused.seen) };
        }
        if let Some(refused) = self.at(candidate).filter(|refused| refused.is_paused(now)) {
            return Comparison { known: Known::Refused(refused), aged: false };
        }
        match self.serving.as_ref().filter(|serving| serving.is(candidate.as_ref())) {
            Some(serving) => Comparison { known: Known::Serving, aged: aged(serving) },
            None => Comparison { known: Known::Not, aged: false },
        }
    }

    /// Returns the refusal of the file that was at the path of this candidate.
    fn at<C: AsRef<FileState>>(&self, candidate: &C) -> Option<&Arc<Refused>> {
        self.refused.iter().find(|refused| refused.path() == candidate.as_ref().path)
    }

    /// Reads a candidate and loads it. With `keep_same`, content that is known already is not loaded.
    fn attempt<W: Watch, T>(
        &mut self,
        candidate: &W::Candidate,
        watched: &W,
        keep_same: bool,
        load: &mut impl FnMut(W::Content) -> Result<T, Failure>,
    ) -> Result<Attempt<T>, Arc<Refused>> {
        let start = Instant::now();
        // It is identified before the read that looks at it, so that a change in between makes another try.
        let remedy = watched.remedy(candidate);
        let (mut seen, content) = match watched.read(candidate) {
            Ok(read) => read,
            Err(error) => {
                let seen = Seen::unread(candidate.as_ref().clone(), error.may_pass, watched.settle());
                return Err(self.refuse(seen, remedy, error, start.elapsed()));
            }
        };
        if keep_same || seen.recheck_at.is_some() {
            seen.digests = Some(W::digests(&content));
        }
        if keep_same && self.settle(&seen) {
            return Ok(Attempt::Same);
        }
        match load(content) {
            Ok(loaded) => {
                self.refused.retain(|refused| refused.path() != seen.state.path);
                self.serving = Some(seen);
                Ok(Attempt::Loaded(loaded))
            }
            Err(error) => {
                let seen = if error.may_pass { Seen::unread(seen.state, true, watched.settle()) } else { seen };
                Err(self.refuse(seen, remedy, error, start.elapsed()))
            }
        }
    }

    /// Returns `true` if the content of a file that has aged is the same as before. Then it is not compared again.
    fn settle(&mut self, aged: &Seen) -> bool {
        let refused = self.refused.iter_mut().map(|refused| &mut Arc::make_mut(refused).seen);
        let mut known = self.serving.iter_mut().chain(refused).filter(|known| known.has_content_of(aged));
        known.next().map(|known| known.recheck_at = None).is_some()
    }

    fn refuse(&mut self, seen: Seen, remedy: Option<Identity>, error: Failure, took: Duration) -> Arc<Refused> {
        let before = self.refused.extract_if(.., |refused| refused.path() == seen.state.path).next();
        let refused = Arc::new(Refused::new(seen, remedy, error, took, before));
        self.refused.push(refused.clone());
        refused
    }
}

struct Comparison<'a> {
    known: Known<'a>,
    /// True if the file was young when it was read, and has aged since.
    aged: bool,
}

enum Known<'a> {
    Serving,
    Refused(&'a Arc<Refused>),
    Not,
}

enum Attempt<T> {
    Same,
    Loaded(T),
}

#[cfg(test)]
mod tests;
