//! Logs files that do not serve because of their age.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use sac_owner::path_line;
use tracing::info;

/// Logs a file that appears beside a newer one, as one does that is moved or copied with its modification time.
#[derive(Default)]
pub(super) struct PassedOverLog {
    logged: ArcSwapOption<PathBuf>,
}

impl PassedOverLog {
    /// Logs the file if it is another than at the last call.
    pub(super) fn log(&self, found: Option<Arc<PathBuf>>) {
        let Some(found) = found else { return };
        if self.logged.load().as_ref().is_some_and(|logged| Arc::ptr_eq(logged, &found)) {
            return;
        }
        let before = self.logged.swap(Some(found.clone()));
        if before.as_ref() != Some(&found) {
            let path = path_line(&found);
            info!(%path, "this file is older than the checkpoint in service, which stays: `touch` it if it is to serve");
        }
    }
}
