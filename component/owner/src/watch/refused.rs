//! A candidate that was refused.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::identity::Identity;
use super::seen::Seen;
use super::watched::Watch;

/// A candidate that was refused. It is tried again when its identity changes or a reload is forced. If it was young, or
/// its error may pass, it is also tried once more when it has aged.
#[derive(Debug, Clone)]
pub struct Refused {
    pub(super) seen: Seen,
    /// See [`Watch::remedy`].
    pub(super) remedy: Option<Identity>,
    /// The reason, in one line.
    pub detail: String,
    /// True if the same file was refused before for the same reason.
    pub repeated: bool,
    /// When it was refused.
    pub at: SystemTime,
}

impl Refused {
    /// Returns the path as it was listed.
    pub fn path(&self) -> &Path {
        &self.seen.state.path
    }

    /// Returns the file's modification time.
    pub fn modified(&self) -> SystemTime {
        self.seen.state.identity.modified
    }

    /// Returns `true` if a candidate is this one, unchanged.
    pub(super) fn is<W: Watch>(&self, candidate: &W::Candidate, watched: &W) -> bool {
        self.seen.is(candidate.as_ref()) && self.remedy == watched.listed_remedy(candidate)
    }

    /// Creates a refusal that takes the place of `before`, an earlier one of the same path.
    pub(super) fn new(seen: Seen, remedy: Option<Identity>, detail: String, before: Option<Arc<Refused>>) -> Self {
        let repeated =
            before.is_some_and(|before| before.seen.state.identity == seen.state.identity && before.detail == detail);
        Refused { seen, remedy, detail, repeated, at: SystemTime::now() }
    }
}
