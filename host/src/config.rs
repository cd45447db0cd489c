use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use sac_checkpoint::Source;

/// How a [`crate::SacService`] serves. Start from [`Config::default`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Which files are candidates, and what of them is refused unread.
    pub source: Source,
    /// Run tract's optimised plan (`jit_compiled` in the answers).
    pub jit: bool,
    /// How many requests run at once, and so how many instances a generation has: one for each core.
    pub workers: usize,
    pub on_bad_checkpoint: OnBadCheckpoint,
    /// How long a request waits for a new checkpoint to load before the policy in service answers it.
    pub reload_wait: Duration,
    /// A larger request body is answered with 413.
    pub max_body_bytes: usize,
    /// The most states in a batch.
    pub max_batch: u32,
    /// Bearer tokens, any of which authorises; none at all leaves every route open.
    pub tokens: Vec<String>,
    /// Where the compiled component is kept. None compiles it at each start.
    pub cache_dir: Option<PathBuf>,
    /// A component of the world `sac:serving/actor`. The one of this crate is embedded.
    pub component: Cow<'static, [u8]>,
}

/// What a refused checkpoint does to the routes that need a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OnBadCheckpoint {
    /// The policy in service goes on answering, and is shown as stale.
    Keep,
    /// They answer 500 until a checkpoint loads.
    Fail,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            source: Source::new(None, None, None),
            jit: true,
            workers: cores(),
            on_bad_checkpoint: OnBadCheckpoint::Keep,
            reload_wait: Duration::from_millis(250),
            max_body_bytes: 8 << 20,
            max_batch: 4096,
            tokens: Vec::new(),
            cache_dir: crate::default_cache_dir(),
            component: Cow::Borrowed(include_bytes!(env!("SAC_ACTOR_COMPONENT"))),
        }
    }
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
