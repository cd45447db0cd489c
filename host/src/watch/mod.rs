//! Files of the operator that are read again when they change: tokens and certificates. Checkpoints are not among them.

pub(crate) mod tokens;

use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow, ensure};
use arc_swap::ArcSwap;
use sac_owner::settings::is_blank;
use sac_owner::{Freshness, SingleFile};
use tracing::{info, warn};

/// The size limit of a file of tokens or certificates.
const MAX_BYTES: u64 = 1 << 20;

/// The parsed content of a file, which is read again at the first use after the file changed. If the file is missing, cannot
/// be read or cannot be parsed, the previous content stays.
pub(crate) struct WatchedFile<T> {
    file: SingleFile,
    parse: Parse<T>,
    /// Read by every use. Written by the holder of `renewing`.
    state: ArcSwap<State<T>>,
    renewing: Mutex<()>,
}

type Parse<T> = Box<dyn Fn(&[u8]) -> Result<T> + Send + Sync>;

struct State<T> {
    value: Arc<T>,
    freshness: Freshness,
}

impl<T> WatchedFile<T> {
    /// Reads the file, which must exist and parse. Blocks, as [`WatchedFile::get`] does.
    pub(crate) fn new(path: &Path, parse: impl Fn(&[u8]) -> Result<T> + Send + Sync + 'static) -> Result<Self> {
        ensure!(!is_blank(path.as_os_str()), "the path is blank");
        let parse: Parse<T> = Box::new(parse);
        let file = SingleFile::new(path, MAX_BYTES);
        let renewal = Freshness::default().renew(&file, true, |bytes| read(&parse, &bytes));
        let value = renewal.loaded.ok_or_else(|| match renewal.outcome {
            Err(reason) => anyhow!(reason),
            Ok(()) => anyhow!("{}: there is no such file", path.display()),
        })?;
        let state = ArcSwap::from_pointee(State { value: Arc::new(value), freshness: renewal.freshness });
        Ok(WatchedFile { file, parse, state, renewing: Mutex::new(()) })
    }

    /// Returns the content. Costs one `stat` of the file.
    pub(crate) fn get(&self) -> Arc<T> {
        if !self.state.load().freshness.judge(&self.file).changed {
            return self.state.load().value.clone();
        }
        let _renewing = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.state.load_full();
        // Another thread may have read the file meanwhile.
        if before.freshness.judge(&self.file).changed {
            self.renew(&before);
        }
        self.state.load().value.clone()
    }

    fn renew(&self, before: &State<T>) {
        let renewal = before.freshness.renew(&self.file, false, |bytes| read(&self.parse, &bytes));
        for refused in renewal.refused.iter().filter(|refused| !refused.repeated) {
            warn!(path = %refused.path().display(), "the file is refused and its previous content stays: {}", refused.detail);
        }
        if renewal.loaded.is_some() {
            info!(path = %self.file.path().display(), "read again");
        }
        let value = renewal.loaded.map_or_else(|| before.value.clone(), Arc::new);
        self.state.store(Arc::new(State { value, freshness: renewal.freshness }));
    }
}

/// Shows the path alone, because the content may be secret.
impl<T> Debug for WatchedFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.path().display())
    }
}

fn read<T>(parse: &Parse<T>, bytes: &[u8]) -> Result<T, String> {
    parse(bytes).map_err(|error| format!("{error:#}"))
}
