//! The names in a folder of checkpoints.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;

use super::sidecars::{DIGEST_SUFFIX, STATISTICS_SUFFIX, Sidecars, statistics_path, with_suffix};
use crate::watch::may_pass;

pub(super) const PREFIX: &str = "model_";
pub(super) const EXTENSIONS: &[&str] = &["onnx", "pt", "pth", "safetensors", "zip"];

/// The names in a folder that concern checkpoints.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) checkpoints: Vec<OsString>,
    sidecars: HashSet<OsString>,
}

impl Names {
    /// Reads a folder. A folder that does not exist or may not be read has no names.
    ///
    /// # Errors
    /// An error may pass, and says nothing about the folder.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if may_pass(&error) => return Err(error),
            Err(_) => return Ok(Names::default()),
        };
        let mut names = Names::default();
        for entry in entries {
            match entry {
                Ok(entry) => names.add(entry.file_name()),
                // Half a listing would be kept, as if the other files were gone.
                Err(error) if may_pass(&error) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(names)
    }

    /// Returns the sidecars of a checkpoint that are in the folder.
    pub(super) fn sidecars(&self, checkpoint: &OsStr) -> Sidecars {
        if self.sidecars.is_empty() {
            return Sidecars::NONE;
        }
        let digest = self.sidecars.contains(&with_suffix(checkpoint, DIGEST_SUFFIX));
        let statistics = statistics_path(Path::new(checkpoint));
        Sidecars { digest, statistics: statistics.is_some_and(|name| self.sidecars.contains(name.as_os_str())) }
    }

    fn add(&mut self, name: OsString) {
        let bytes = name.as_encoded_bytes();
        if !bytes.starts_with(PREFIX.as_bytes()) {
            return;
        }
        let extension = Path::new(&name).extension().and_then(OsStr::to_str);
        if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
            self.checkpoints.push(name);
        } else if [DIGEST_SUFFIX, STATISTICS_SUFFIX].iter().any(|suffix| bytes.ends_with(suffix.as_bytes())) {
            self.sidecars.insert(name);
        }
    }
}
