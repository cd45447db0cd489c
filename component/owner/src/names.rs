use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;

use crate::source::may_pass;

pub(crate) const PREFIX: &str = "model_";
pub(crate) const EXTENSIONS: &[&str] = &["onnx", "pt", "pth", "safetensors", "zip"];

/// What a checkpoint has beside it, after its whole name: what `sha256sum` printed.
pub(crate) const DIGEST: &str = ".sha256";
/// What Stable-Baselines3's models, which end in `zip`, may have: the statistics of VecNormalize.
pub(crate) const STATISTICS: (&str, &str) = ("zip", ".vecnormalize.pkl");

/// The names in a folder that concern a checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) checkpoints: Vec<OsString>,
    /// Of the files that stand beside one.
    beside: HashSet<OsString>,
}

/// What may stand beside a checkpoint: what a listing does not have need not be looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside {
    pub(crate) digest: bool,
    pub(crate) statistics: bool,
}

impl Names {
    /// Of a folder that does not exist or may not be read, none. The error is one that may pass.
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if may_pass(&error) => return Err(error),
            Err(_) => return Ok(Names::default()),
        };
        let mut names = Names::default();
        for entry in entries {
            match entry {
                Ok(entry) => names.add(entry.file_name()),
                // Half a listing would be kept, and tell that files are gone.
                Err(error) if may_pass(&error) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(names)
    }

    pub(crate) fn beside(&self, checkpoint: &OsStr) -> Beside {
        if self.beside.is_empty() {
            return Beside { digest: false, statistics: false };
        }
        let has = |suffix| self.beside.contains(&with_suffix(checkpoint, suffix));
        let statistics = Path::new(checkpoint).extension().is_some_and(|extension| extension == STATISTICS.0);
        Beside { digest: has(DIGEST), statistics: statistics && has(STATISTICS.1) }
    }

    fn add(&mut self, name: OsString) {
        let bytes = name.as_encoded_bytes();
        if !bytes.starts_with(PREFIX.as_bytes()) {
            return;
        }
        let extension = Path::new(&name).extension().and_then(OsStr::to_str);
        if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
            self.checkpoints.push(name);
        } else if [DIGEST, STATISTICS.1].iter().any(|suffix| bytes.ends_with(suffix.as_bytes())) {
            self.beside.insert(name);
        }
    }
}

impl Beside {
    /// Where nothing was listed, anything may be there.
    pub(crate) const UNKNOWN: Beside = Beside { digest: true, statistics: true };
}

/// The same name with something after it.
pub(crate) fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let mut longer = OsString::with_capacity(name.len() + suffix.len());
    longer.push(name);
    longer.push(suffix);
    longer
}
