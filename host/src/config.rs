use std::path::PathBuf;
use std::time::Duration;

use sac_owner::Source;
use sac_owner::settings::{Activation, OnBadCheckpoint, defaults};

use crate::watch::tokens::Tokens;

/// How a [`crate::SacService`] serves. Start from [`Config::default`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Which files are candidates, and what of them is refused unread.
    pub source: Source,
    /// Run the kernel, or tract's optimised plan (`jit_compiled` in the answers).
    pub jit: bool,
    /// The activation of a network whose file does not say it. None assumes ReLU, and says so.
    pub activation: Option<Activation>,
    /// How many requests run at once, and so how many instances a generation has: one for each core.
    pub workers: usize,
    /// How many requests may wait or run at once; any other is answered 503, but for health.
    pub max_in_flight: usize,
    pub on_bad_checkpoint: OnBadCheckpoint,
    /// How long a request waits for a new checkpoint to load before the policy in service answers it.
    pub reload_wait: Duration,
    /// A larger request body is answered with 413.
    pub max_body_bytes: usize,
    /// A request body that takes longer to come is answered with 408.
    pub body_time: Duration,
    /// The most states in a batch.
    pub max_batch: u32,
    pub tokens: Tokens,
    pub sandbox: SandboxLimits,
    /// Where the compiled component is kept. None compiles it at each start.
    pub cache_dir: Option<PathBuf>,
    /// A component of the world `sac:serving/actor`. None is the one that is embedded in this crate.
    pub component: Option<Vec<u8>>,
}

/// What an instance of the component may take. Where it takes more it is thrown away: the checkpoint is refused, or the
/// request answered with an error, and the next request has another instance.
#[derive(Debug, Clone)]
pub struct SandboxLimits {
    /// Over all its memories. A checkpoint stands in it several times: as it came, as tensors, and as packed weights; so
    /// allow four times the largest.
    pub memory_bytes: usize,
    /// An instance that holds this much more than twice what it held with its checkpoint loaded is replaced: a large
    /// request is not paid for ever after.
    pub slack_bytes: usize,
    pub tables: usize,
    /// Of each table.
    pub table_elements: usize,
    /// Of modules within the component, and of memories.
    pub instances: usize,
    /// Times are of the processor, not of the wall. For loading a checkpoint:
    pub load_time: Duration,
    /// For a request that the component takes for a short one.
    pub call_time: Duration,
    /// For one that runs beside the others: a large batch or a benchmark.
    pub long_call_time: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            source: Source::new(None, None, None),
            jit: defaults::JIT,
            activation: None,
            workers: cores(),
            max_in_flight: 512,
            on_bad_checkpoint: OnBadCheckpoint::default(),
            reload_wait: Duration::from_millis(250),
            max_body_bytes: defaults::MAX_BODY_BYTES,
            body_time: Duration::from_secs(30),
            max_batch: defaults::MAX_BATCH,
            tokens: Tokens::default(),
            sandbox: SandboxLimits::default(),
            cache_dir: crate::default_cache_dir(),
            component: None,
        }
    }
}

impl Default for SandboxLimits {
    fn default() -> Self {
        SandboxLimits {
            memory_bytes: 256 << 20,
            slack_bytes: 32 << 20,
            tables: 16,
            table_elements: 100_000,
            instances: 64,
            load_time: Duration::from_secs(3),
            call_time: Duration::from_secs(2),
            long_call_time: Duration::from_secs(120),
        }
    }
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
