use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::identity::Identity;
use crate::listing::Listing;
use crate::read::{Content, sidecar};
use crate::seen::Seen;
use crate::source::{Candidate, Source};

/// What is in service and what was refused. A value: [`Freshness::renew`] gives the next one, for the owner to
/// publish together with what it loaded.
#[derive(Debug, Clone, Default)]
pub struct Freshness {
    serving: Option<Seen>,
    /// One at most for each candidate.
    refused: Vec<Arc<Refused>>,
}

/// A candidate that is not tried again until its identity changes or a reload is forced; or once it has aged, where it
/// was young or its error one that may pass.
#[derive(Debug, Clone)]
pub struct Refused {
    seen: Seen,
    /// A digest that is put right heals the checkpoint beside it.
    sidecar: Option<Identity>,
    /// Why, in one line.
    pub detail: String,
    /// The same was said of the same file before.
    pub repeated: bool,
    pub at: SystemTime,
}

/// What a request finds.
#[derive(Debug)]
pub struct Judgement<'a> {
    /// There is something to try: call [`Freshness::renew`], one at a time.
    pub changed: bool,
    /// Of the newest candidate that is known to be refused, if it is newer than what serves.
    pub refusal: Option<&'a Arc<Refused>>,
}

/// What [`Freshness::renew`] did.
#[derive(Debug)]
pub struct Renewal<T> {
    pub freshness: Freshness,
    /// Of the first candidate that loaded.
    pub loaded: Option<T>,
    /// Those that were refused this time.
    pub refused: Vec<Arc<Refused>>,
    /// What to tell a client who forced it.
    pub outcome: Result<(), String>,
}

impl Freshness {
    /// Compares the candidates with what is in service. Reads no file, and lists the folder only if it has changed or
    /// the last time is a while ago. While they cannot be listed, nothing changes.
    pub fn judge(&self, source: &Source) -> Judgement<'_> {
        let now = Instant::now();
        let mut judgement = Judgement { changed: false, refusal: None };
        let Ok(listing) = source.look(self.path()) else {
            return Judgement { refusal: self.refused.last(), ..judgement };
        };
        for candidate in self.considered(&listing, source) {
            let Comparison { known, aged } = self.compare(candidate, source, now);
            judgement.changed |= aged || matches!(known, Known::Not);
            if let Known::Refused(refused) = known {
                judgement.refusal = judgement.refusal.or(Some(refused));
            }
        }
        judgement
    }

    /// Tries the candidates that differ from what is in service and from what was refused, newest first, until one
    /// loads. `forced` tries the newest whatever is known of it.
    pub fn renew<T>(
        &self,
        source: &Source,
        forced: bool,
        mut load: impl FnMut(Content) -> Result<T, String>,
    ) -> Renewal<T> {
        let mut renewal = Renewal { freshness: self.clone(), loaded: None, refused: Vec::new(), outcome: Ok(()) };
        let listing = match if forced { source.look_anew(self.path()) } else { source.look(self.path()) } {
            Ok(listing) => listing,
            Err(error) => {
                renewal.outcome = Err(format!("{source} cannot be listed: {error}"));
                return renewal;
            }
        };
        let next = &mut renewal.freshness;
        let is_there = |path: &Path| listing.candidates.iter().any(|c| c.path.as_os_str() == path.as_os_str());
        next.refused.retain(|refused| is_there(refused.path()));
        for (index, candidate) in self.considered(&listing, source).enumerate() {
            let Comparison { known, aged } = self.compare(candidate, source, Instant::now());
            if !(aged || matches!(known, Known::Not) || (forced && index == 0)) {
                continue;
            }
            match next.attempt(candidate, source, aged && !forced, &mut load) {
                Ok(Attempt::Same) => {}
                Ok(Attempt::Loaded(loaded)) => {
                    renewal.loaded = Some(loaded);
                    break;
                }
                Err(refused) => renewal.refused.push(refused),
            }
        }
        renewal.outcome = match renewal.refused.first() {
            Some(refused) => Err(format!("{}: {}", refused.path().display(), refused.detail)),
            None if forced && renewal.loaded.is_none() && self.serving.is_some() => {
                Err(format!("no checkpoint at {source}; the one in service stays"))
            }
            None => Ok(()),
        };
        renewal
    }

    /// Of the file in service.
    fn path(&self) -> Option<&Path> {
        self.serving.as_ref().map(|serving| serving.path.as_path())
    }

    /// The candidates that matter, newest first: those newer than the file in service, as many as may be tried, and it
    /// itself; for its policy outlives refusals of anything newer and of the file itself.
    fn considered<'a>(&self, listing: &'a Listing, source: &Source) -> impl Iterator<Item = &'a Candidate> {
        let reach = listing.candidates.len().min(source.limits.max_tries);
        let serving = self.path().and_then(|path| listing.place(path, source));
        let newer = serving.map_or(reach, |serving| serving.min(reach));
        listing.candidates[..newer].iter().chain(serving.map(|serving| &listing.candidates[serving]))
    }

    fn compare(&self, candidate: &Candidate, source: &Source, now: Instant) -> Comparison<'_> {
        let aged = |seen: &Seen| seen.recheck_at.is_some_and(|at| now >= at);
        // Refusals first, since the file in service may have been overwritten within a tick of its clock.
        if let Some(refused) = self.refused.iter().find(|refused| refused.is(candidate, source)) {
            return Comparison { known: Known::Refused(refused), aged: aged(&refused.seen) };
        }
        match self.serving.as_ref().filter(|serving| serving.is(candidate)) {
            Some(serving) => Comparison { known: Known::Serving, aged: aged(serving) },
            None => Comparison { known: Known::Not, aged: false },
        }
    }

    /// Reads a candidate and loads it, unless the content is one that is known already and `keep_same` is set.
    fn attempt<T>(
        &mut self,
        candidate: &Candidate,
        source: &Source,
        keep_same: bool,
        load: &mut impl FnMut(Content) -> Result<T, String>,
    ) -> Result<Attempt<T>, Arc<Refused>> {
        // Before the read that looks at it: one that is put right meanwhile is then another.
        let sidecar = source.identity(&sidecar(&candidate.path)).ok().flatten();
        let content = match source.read(candidate) {
            Ok(content) => content,
            Err(error) => {
                let seen = Seen::unread(candidate, &error, source.limits.settle);
                return Err(self.refuse(seen, sidecar, error.to_string()));
            }
        };
        let seen = Seen::of(candidate, &content);
        if keep_same && self.settle(&seen) {
            return Ok(Attempt::Same);
        }
        match load(content) {
            Ok(loaded) => {
                self.refused.retain(|refused| refused.seen.path != candidate.path);
                self.serving = Some(seen);
                Ok(Attempt::Loaded(loaded))
            }
            Err(detail) => Err(self.refuse(seen, sidecar, detail)),
        }
    }

    /// Whether the content, which has aged by now, is the same as before: then it is not looked at again.
    fn settle(&mut self, aged: &Seen) -> bool {
        let known =
            self.serving.iter_mut().chain(self.refused.iter_mut().map(|refused| &mut Arc::make_mut(refused).seen));
        let mut same =
            known.filter(|known| known.path == aged.path && known.digests.is_some() && known.digests == aged.digests);
        same.next().map(|known| known.recheck_at = None).is_some()
    }

    fn refuse(&mut self, seen: Seen, sidecar: Option<Identity>, detail: String) -> Arc<Refused> {
        let before = self.refused.extract_if(.., |refused| refused.seen.path == seen.path).next();
        let repeated = before.is_some_and(|before| before.seen.identity == seen.identity && before.detail == detail);
        let refused = Arc::new(Refused { seen, sidecar, detail, repeated, at: SystemTime::now() });
        self.refused.push(refused.clone());
        refused
    }
}

struct Comparison<'a> {
    known: Known<'a>,
    /// It was young when it was read, and has aged since.
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

impl Refused {
    pub fn path(&self) -> &Path {
        &self.seen.path
    }

    pub fn modified(&self) -> SystemTime {
        self.seen.identity.modified
    }

    fn is(&self, candidate: &Candidate, source: &Source) -> bool {
        let now = || source.identity(&sidecar(&candidate.path)).ok().flatten();
        self.seen.is(candidate) && self.sidecar == candidate.beside.digest.then(now).flatten()
    }
}

#[cfg(test)]
mod tests;
