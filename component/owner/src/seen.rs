use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use crate::identity::Identity;
use crate::read::{Content, Digests, ReadError};
use crate::source::Candidate;

/// A file as it was when it was read.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) statistics: Option<Identity>,
    pub(crate) digests: Option<Digests>,
    /// When the content is to be compared once more: see [`crate::Limits::settle`].
    pub(crate) recheck_at: Option<Instant>,
}

impl Seen {
    pub(crate) fn of(candidate: &Candidate, content: &Content) -> Self {
        Seen {
            path: candidate.path.clone(),
            identity: content.identity,
            statistics: content.statistics.as_ref().map(|statistics| statistics.identity),
            digests: Some(content.digests()),
            recheck_at: content.recheck_at,
        }
    }

    /// Of a file that a read error says nothing final about, if it is young or if the error may pass.
    pub(crate) fn unread(candidate: &Candidate, error: &ReadError, settle: Duration) -> Self {
        let is_young = candidate.identity.is_younger_than(settle, SystemTime::now());
        let may_change = is_young || matches!(error, ReadError::Io(_));
        let recheck_at = may_change.then(|| Instant::now() + settle);
        let Candidate { path, identity, statistics, .. } = candidate.clone();
        Seen { path, identity, statistics, digests: None, recheck_at }
    }

    pub(crate) fn is(&self, candidate: &Candidate) -> bool {
        self.identity == candidate.identity && self.statistics == candidate.statistics && self.path == candidate.path
    }
}
