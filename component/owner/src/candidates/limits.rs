//! The limits within which a [`Source`](crate::Source) looks for a checkpoint.

use std::time::Duration;

use crate::settings::defaults;
use crate::watch::SETTLE;

/// The number of candidates, the newest ones, that each request checks. It is larger if more may be tried.
pub(super) const WATCHED: usize = 16;

/// The limits within which a [`Source`](crate::Source) looks for a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A larger file is refused before it is read.
    pub max_bytes: u64,
    /// A file younger than this when it was read is read once more when it has aged, and a folder is listed once more. It
    /// must be longer than the tick of any file system's clock, which is one second on NFS.
    pub settle: Duration,
    /// The number of candidates, the newest ones, that may be tried.
    pub max_tries: usize,
    /// The age at which a listing is made anew although nothing that a request checks has changed. That finds the touch of
    /// one file among many, and any change on a file system that does not update the folder's times. If a listing takes
    /// longer than this, it is made less often.
    pub sweep: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_bytes: defaults::MAX_CHECKPOINT_BYTES,
            settle: SETTLE,
            max_tries: 8,
            sweep: Duration::from_millis(100),
        }
    }
}

impl Limits {
    /// Returns the number of candidates that each request checks.
    pub(super) fn watched(&self) -> usize {
        WATCHED.max(self.max_tries)
    }
}
