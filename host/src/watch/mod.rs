//! Files of the operator that are read anew when they change: tokens and certificates.

pub(crate) mod tokens;

use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use arc_swap::ArcSwap;
use sac_owner::{Freshness, Source};
use tracing::{info, warn};

/// More is no file of tokens or of certificates.
const MAX_BYTES: u64 = 1 << 20;

/// What a file holds, read anew at the next use after the file changed. A file that is gone, cannot be read or makes no
/// sense leaves what it held before.
pub(crate) struct Live<T> {
    source: Source,
    parse: Parse<T>,
    /// Read by every use. Written by whoever holds `renewing`.
    held: ArcSwap<Held<T>>,
    renewing: Mutex<()>,
}

type Parse<T> = Box<dyn Fn(&[u8]) -> Result<T> + Send + Sync>;

struct Held<T> {
    value: Arc<T>,
    freshness: Freshness,
}

impl<T> Live<T> {
    /// The file must be there and make sense, to begin with. Blocks, as [`Live::get`] does.
    pub(crate) fn new(path: &Path, parse: impl Fn(&[u8]) -> Result<T> + Send + Sync + 'static) -> Result<Self> {
        let parse: Parse<T> = Box::new(parse);
        let mut source = Source::new(Some(path), None, None);
        source.limits.max_bytes = MAX_BYTES;
        let renewal = Freshness::default().renew(&source, true, |content| read(&parse, &content.bytes));
        let value = renewal.loaded.ok_or_else(|| match renewal.outcome {
            Err(reason) => anyhow!(reason),
            Ok(()) => anyhow!("{}: there is no such file", path.display()),
        })?;
        let held = ArcSwap::from_pointee(Held { value: Arc::new(value), freshness: renewal.freshness });
        Ok(Live { source, parse, held, renewing: Mutex::new(()) })
    }

    /// Costs a look at the file, by its name.
    pub(crate) fn get(&self) -> Arc<T> {
        if !self.held.load().freshness.judge(&self.source).changed {
            return self.held.load().value.clone();
        }
        let _renewing = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.held.load_full();
        // Another may have read it meanwhile.
        if before.freshness.judge(&self.source).changed {
            self.renew(&before);
        }
        self.held.load().value.clone()
    }

    fn renew(&self, before: &Held<T>) {
        let renewal = before.freshness.renew(&self.source, false, |content| read(&self.parse, &content.bytes));
        for refused in renewal.refused.iter().filter(|refused| !refused.repeated) {
            warn!(path = %refused.path().display(), "not taken, what it held before stays: {}", refused.detail);
        }
        if renewal.loaded.is_some() {
            info!(path = %self.source.path().display(), "read anew");
        }
        let value = renewal.loaded.map_or_else(|| before.value.clone(), Arc::new);
        self.held.store(Arc::new(Held { value, freshness: renewal.freshness }));
    }
}

/// What it holds may be secret.
impl<T> Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source.path().display())
    }
}

fn read<T>(parse: &Parse<T>, bytes: &[u8]) -> Result<T, String> {
    parse(bytes).map_err(|error| format!("{error:#}"))
}
