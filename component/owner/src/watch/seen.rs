//! The record that is kept of a file after it was read.

use std::time::{Duration, Instant, SystemTime};

use super::file_state::FileState;

/// A file as it was when it was read.
#[derive(Debug, Clone)]
pub struct Seen {
    pub(crate) state: FileState,
    /// What tells the content from any other. `None` if it was not read, or will not be compared.
    pub(super) digests: Option<Vec<String>>,
    /// When the content is to be compared once more, because the file was young when it was read.
    pub(super) recheck_at: Option<Instant>,
}

/// The moment before a file was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    pub(crate) time: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Moment { instant: Instant::now(), time: SystemTime::now() }
    }
}

impl Seen {
    /// Describes a file whose read began at `began`.
    pub(crate) fn read(state: FileState, began: Moment, settle: Duration) -> Self {
        let young = is_young(&state, began.time, settle);
        Seen { state, digests: None, recheck_at: young.then(|| began.instant + settle) }
    }

    /// Describes a file that could not be read. It is tried again once it has aged, if it is young or the error may pass.
    pub(super) fn unread(state: FileState, error_may_pass: bool, settle: Duration) -> Self {
        let young = state.identity.is_younger_than(settle, SystemTime::now());
        let recheck_at = (young || error_may_pass).then(|| Instant::now() + settle);
        Seen { state, digests: None, recheck_at }
    }

    /// Returns `true` if nothing that a request compares has changed.
    pub(super) fn is(&self, now: &FileState) -> bool {
        let FileState { path, identity, companions } = &self.state;
        *identity == now.identity && *companions == now.companions && *path == now.path
    }

    /// Returns `true` if both were read from the same path and had the same content.
    pub(super) fn has_content_of(&self, other: &Seen) -> bool {
        self.state.path == other.state.path && self.digests.is_some() && self.digests == other.digests
    }
}

fn is_young(state: &FileState, at: SystemTime, settle: Duration) -> bool {
    let mut identities = std::iter::once(&state.identity).chain(&state.companions);
    identities.any(|identity| identity.is_younger_than(settle, at))
}
