//! Files of the operator that are read again when they change: tokens and certificates. Checkpoints are not among them.

pub(crate) mod tokens;

use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use arc_swap::ArcSwap;
use sac_owner::settings::is_blank;
use sac_owner::{Failure, Freshness, SingleFile, path_line};
use tracing::{info, warn};

use crate::work::lookout::Lookout;

/// The time that a request waits for storage that does not answer. After it, the previous content counts.
const WAIT: Duration = Duration::from_millis(250);

/// The size limit of a file of tokens or certificates.
const MAX_BYTES: u64 = 1 << 20;

/// The parsed content of a file, which is read again at the first use after the file changed. If the file is missing, cannot
/// be read or cannot be parsed, the previous content stays.
pub(crate) struct WatchedFile<T> {
    content: Arc<Content<T>>,
    looks: Lookout<Arc<T>>,
}

/// The file, and what was read of it.
struct Content<T> {
    file: SingleFile,
    parse: Parse<T>,
    /// Read by every look. Written by the holder of `renewing`.
    state: ArcSwap<State<T>>,
    renewing: Mutex<()>,
    /// True if the file was missing at the last look, for the log.
    is_gone: AtomicBool,
}

type Parse<T> = Box<dyn Fn(&[u8]) -> Result<T> + Send + Sync>;

struct State<T> {
    value: Arc<T>,
    freshness: Freshness,
}

impl<T: Send + Sync + 'static> WatchedFile<T> {
    /// Reads the file, which must exist and parse. Blocks.
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
        let content =
            Arc::new(Content { file, parse, state, renewing: Mutex::new(()), is_gone: AtomicBool::new(false) });
        let looking = content.clone();
        Ok(WatchedFile { content, looks: Lookout::new("sac-watch", move || looking.get()) })
    }

    /// Returns the content. Costs one `stat` of the file.
    pub(crate) async fn get(&self) -> Arc<T> {
        self.looks.look(WAIT).await.unwrap_or_else(|| self.latest())
    }

    /// Returns the content as it was read last.
    pub(crate) fn latest(&self) -> Arc<T> {
        self.content.state.load().value.clone()
    }
}

impl<T> Content<T> {
    /// Returns the content. Blocks.
    fn get(&self) -> Arc<T> {
        let state = self.state.load();
        let judgement = state.freshness.judge(&self.file);
        if self.is_gone.load(Relaxed) != judgement.is_empty && !self.is_gone.swap(judgement.is_empty, Relaxed) {
            warn!(path = %path_line(self.file.path()), "the file is gone and its previous content stays");
        }
        if !judgement.changed {
            return state.value.clone();
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
            warn!(path = %path_line(refused.path()), "the file is refused and its previous content stays: {}", refused.detail);
        }
        if renewal.loaded.is_some() {
            info!(path = %path_line(self.file.path()), "read again");
        }
        let value = renewal.loaded.map_or_else(|| before.value.clone(), Arc::new);
        self.state.store(Arc::new(State { value, freshness: renewal.freshness }));
    }
}

/// Shows the path alone, because the content may be secret.
impl<T> Debug for WatchedFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.content.file.path().display())
    }
}

fn read<T>(parse: &Parse<T>, bytes: &[u8]) -> Result<T, Failure> {
    parse(bytes).map_err(|error| format!("{error:#}").into())
}
