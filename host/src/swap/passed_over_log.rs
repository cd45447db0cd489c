//! Logs files that do not serve because of their age.

use std::path::PathBuf;
use std::sync::Mutex;

use sac_owner::path_line;
use tracing::info;

use crate::swap::publisher::lock;

/// Logs each file once that appears beside a newer one, as one does that is moved or copied with its modification time.
#[derive(Default)]
pub(super) struct PassedOverLog {
    logged: Mutex<Option<PathBuf>>,
}

impl PassedOverLog {
    pub(super) fn log(&self, found: Option<PathBuf>) {
        let Some(found) = found else { return };
        let mut logged = lock(&self.logged);
        if logged.as_ref() != Some(&found) {
            let path = path_line(&found);
            info!(%path, "this file is older than the checkpoint in service, which stays: `touch` it if it is to serve");
            *logged = Some(found);
        }
    }
}
