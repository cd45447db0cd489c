//! Logs why there is no candidate.

use std::mem::{Discriminant, discriminant};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use sac_owner::{Absence, path_line};
use tracing::{info, warn};

use crate::swap::publisher::lock;

/// Logs each reason for an absence of candidates once, until there is a candidate again. Requests may see several reasons in
/// turn, as while temporary files come and go.
#[derive(Default)]
pub(super) struct AbsenceLog {
    logged: Mutex<Vec<Discriminant<Absence>>>,
    /// False while nothing was logged. It spares requests the lock.
    has_logged: AtomicBool,
}

impl AbsenceLog {
    /// Logs the reason why there is no candidate at `path`, or takes note that there is one.
    pub(super) fn log(&self, path: &Path, absence: Option<&Absence>, has_policy: bool) {
        match absence {
            None if self.has_logged.load(Ordering::Relaxed) => {
                let mut logged = lock(&self.logged);
                logged.clear();
                self.has_logged.store(false, Ordering::Relaxed);
            }
            Some(absence) if self.is_new(absence) => log(path, absence, has_policy),
            _ => {}
        }
    }

    fn is_new(&self, absence: &Absence) -> bool {
        let (mut logged, kind) = (lock(&self.logged), discriminant(absence));
        let is_new = !logged.contains(&kind);
        if is_new {
            logged.push(kind);
            self.has_logged.store(true, Ordering::Relaxed);
        }
        is_new
    }
}

fn log(path: &Path, absence: &Absence, has_policy: bool) {
    let hint = absence.hint(path).map(|hint| format!(" ({hint})")).unwrap_or_default();
    let path = path_line(path);
    match absence {
        _ if has_policy => warn!("no candidate is left in {path}, and the policy in service stays: {absence}{hint}"),
        // Most often, the training has just begun.
        Absence::Empty { .. } if hint.is_empty() => info!("no candidate in {path}: {absence}"),
        _ => warn!("no candidate in {path}: {absence}{hint}"),
    }
}
