use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::identity::Identity;
use crate::read::{Content, sidecar};
use crate::source::{Candidate, Source};

/// What is in service and what was refused. A value: [`Freshness::renew`] gives the next one, for the owner to
/// publish together with what it loaded.
#[derive(Debug, Clone, Default)]
pub struct Freshness {
    serving: Option<Seen>,
    /// One at most for each candidate.
    refused: Vec<Arc<Refused>>,
}

/// A file as it was when it was read.
#[derive(Debug, Clone)]
struct Seen {
    path: PathBuf,
    identity: Identity,
    sha256: Option<String>,
    /// When the content is to be compared once more: see [`crate::Limits::settle`].
    recheck_at: Option<Instant>,
}

/// A candidate that is not tried again until its identity changes or a reload is forced.
#[derive(Debug, Clone)]
pub struct Refused {
    seen: Seen,
    /// A digest that is put right heals the checkpoint beside it.
    sidecar: Option<Identity>,
    /// Why, in one line.
    pub detail: String,
    pub at: SystemTime,
}

/// What a request finds.
#[derive(Debug)]
pub enum Judgement<'a> {
    /// What is in service should be; the refusal is of a newer candidate, which it outlives.
    Current { refusal: Option<&'a Arc<Refused>> },
    /// There is something to try: call [`Freshness::renew`], one at a time.
    Changed,
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
    /// Compares the candidates with what is in service. Reads no file.
    pub fn judge(&self, candidates: &[Candidate], source: &Source, now: Instant) -> Judgement<'_> {
        let mut refusal = None;
        for candidate in self.considered(candidates, source) {
            match self.compare(candidate, source, now) {
                Comparison::Serving => {}
                Comparison::Refused(refused) => refusal = refusal.or(Some(refused)),
                Comparison::Different | Comparison::Aged => return Judgement::Changed,
            }
        }
        Judgement::Current { refusal }
    }

    /// Tries the candidates that differ from what is in service and from what was refused, newest first, until one
    /// loads. `forced` tries the newest whatever is known of it.
    pub fn renew<T>(
        &self,
        source: &Source,
        forced: bool,
        mut load: impl FnMut(Content) -> Result<T, String>,
    ) -> Renewal<T> {
        let candidates = source.candidates();
        let mut renewal = Renewal { freshness: self.clone(), loaded: None, refused: Vec::new(), outcome: Ok(()) };
        let next = &mut renewal.freshness;
        next.refused.retain(|refused| candidates.iter().any(|c| c.path == refused.seen.path));
        for (index, candidate) in self.considered(&candidates, source).iter().enumerate() {
            let comparison = self.compare(candidate, source, Instant::now());
            let aged = matches!(comparison, Comparison::Aged);
            if !(aged || matches!(comparison, Comparison::Different) || (forced && index == 0)) {
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

    /// The candidates that matter: down to the file in service, for its policy outlives refusals of anything newer and
    /// of the file itself; where that file is gone, or nothing serves, as many as may be tried.
    fn considered<'a>(&self, candidates: &'a [Candidate], source: &Source) -> &'a [Candidate] {
        let reach = candidates.len().min(source.limits.max_tries);
        let is_serving = |c: &Candidate| self.serving.as_ref().is_some_and(|serving| serving.path == c.path);
        let end = candidates[..reach].iter().position(is_serving).map_or(reach, |serving| serving + 1);
        &candidates[..end]
    }

    fn compare(&self, candidate: &Candidate, source: &Source, now: Instant) -> Comparison<'_> {
        let aged = |seen: &Seen| seen.recheck_at.is_some_and(|at| now >= at);
        // First, since the file in service may have been overwritten within a tick of its clock.
        if let Some(refused) = self.refused.iter().find(|refused| refused.is(candidate, source)) {
            return if aged(&refused.seen) { Comparison::Aged } else { Comparison::Refused(refused) };
        }
        match self.serving.as_ref().filter(|serving| serving.is(candidate)) {
            Some(serving) if aged(serving) => Comparison::Aged,
            Some(_) => Comparison::Serving,
            None => Comparison::Different,
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
        let content = match source.read(candidate) {
            Ok(content) => content,
            Err(error) => return Err(self.refuse(Seen::unread(candidate), source, error.to_string())),
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
            Err(detail) => Err(self.refuse(seen, source, detail)),
        }
    }

    /// Whether the content, which has aged by now, is the same as before: then it is not looked at again.
    fn settle(&mut self, aged: &Seen) -> bool {
        let known =
            self.serving.iter_mut().chain(self.refused.iter_mut().map(|refused| &mut Arc::make_mut(refused).seen));
        let mut same = known.filter(|known| known.path == aged.path && known.sha256 == aged.sha256);
        same.next().map(|known| known.recheck_at = None).is_some()
    }

    fn refuse(&mut self, seen: Seen, source: &Source, detail: String) -> Arc<Refused> {
        self.refused.retain(|refused| refused.seen.path != seen.path);
        let sidecar = source.identity(&sidecar(&seen.path));
        let refused = Arc::new(Refused { seen, sidecar, detail, at: SystemTime::now() });
        self.refused.push(refused.clone());
        refused
    }
}

enum Comparison<'a> {
    /// It is what is in service.
    Serving,
    Refused(&'a Arc<Refused>),
    Different,
    /// It seems to be one of the two, but was young when it was read.
    Aged,
}

enum Attempt<T> {
    Same,
    Loaded(T),
}

impl Seen {
    fn of(candidate: &Candidate, content: &Content) -> Self {
        Seen {
            path: candidate.path.clone(),
            identity: content.identity,
            sha256: Some(content.sha256.clone()),
            recheck_at: content.recheck_at,
        }
    }

    fn unread(candidate: &Candidate) -> Self {
        Seen { path: candidate.path.clone(), identity: candidate.identity, sha256: None, recheck_at: None }
    }

    fn is(&self, candidate: &Candidate) -> bool {
        self.path == candidate.path && self.identity == candidate.identity
    }
}

impl Refused {
    pub fn path(&self) -> &Path {
        &self.seen.path
    }

    pub fn modified(&self) -> SystemTime {
        self.seen.identity.modified
    }

    fn is(&self, candidate: &Candidate, source: &Source) -> bool {
        self.seen.is(candidate) && self.sidecar == source.identity(&sidecar(&candidate.path))
    }
}

#[cfg(test)]
mod tests;
