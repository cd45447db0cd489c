//! Logs refused checkpoints. A file that is written slowly and without a rename is refused at each request that sees a part of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sac_owner::path_line;
use tracing::warn;

use crate::work::watchdog::{Watched, watch};

/// The least time between two lines about a path.
const PAUSE: Duration = Duration::from_secs(5);

/// Logs the first refusal of a path at once, and those of the next seconds as one line, with their number.
pub(super) struct RefusalLog {
    /// The paths that a line was about in the last seconds. `None` if nobody would log those that wait.
    paths: Option<Mutex<HashMap<PathBuf, Waiting>>>,
}

/// The refusals of a path since its last line.
struct Waiting {
    logged: Instant,
    count: usize,
    /// The reason of the last one.
    detail: String,
}

impl RefusalLog {
    pub(super) fn new() -> Arc<Self> {
        let log = Arc::new(RefusalLog { paths: Some(Mutex::default()) });
        match watch(log.clone()) {
            Ok(()) => log,
            Err(_) => Arc::new(RefusalLog { paths: None }),
        }
    }

    /// Logs a refusal, now or after a pause.
    pub(super) fn add(&self, path: &Path, detail: &str) {
        let Some(mut paths) = self.paths() else { return log(path, detail, 1) };
        match paths.get_mut(path) {
            Some(waiting) => {
                waiting.count += 1;
                detail.clone_into(&mut waiting.detail);
            }
            None => {
                paths.insert(path.to_owned(), Waiting { logged: Instant::now(), count: 0, detail: String::new() });
                drop(paths);
                log(path, detail, 1);
            }
        }
    }

    /// Forgets the refusals of a path that wait, because it is in service now.
    pub(super) fn forget(&self, path: &Path) {
        if let Some(mut paths) = self.paths() {
            paths.remove(path);
        }
    }

    fn paths(&self) -> Option<MutexGuard<'_, HashMap<PathBuf, Waiting>>> {
        // A panic cannot interrupt an insertion or a removal.
        Some(self.paths.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watched for RefusalLog {
    fn check(&self) {
        let Some(mut paths) = self.paths() else { return };
        paths.retain(|path, waiting| {
            if waiting.logged.elapsed() < PAUSE {
                return true;
            }
            let count = std::mem::take(&mut waiting.count);
            if count > 0 {
                log(path, &waiting.detail, count);
                waiting.logged = Instant::now();
            }
            count > 0
        });
    }
}

fn log(path: &Path, detail: &str, count: usize) {
    let path = path_line(path);
    match count {
        1 => warn!(path = %path, "checkpoint refused: {detail}"),
        _ => {
            warn!(path = %path, "checkpoint refused: {detail} (the last of {count} refusals of this file since the line before)")
        }
    }
}
