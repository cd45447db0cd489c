use std::path::PathBuf;
use std::time::Duration;

use sac_checkpoint::Source;

use crate::bindings;

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
    /// A component of the world `sac:serving/actor`. None is the one that is embedded in this crate.
    pub component: Option<Vec<u8>>,
}

/// What a refused checkpoint does to the routes that need a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OnBadCheckpoint {
    /// The policy in service goes on answering, and is shown as stale.
    Keep,
    /// They answer 500 until a checkpoint loads.
    Fail,
}

/// What stands between the layers of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Activation {
    Relu,
    LeakyRelu,
    Elu,
    Silu,
    Gelu,
    Tanh,
    Sigmoid,
}

impl From<Activation> for bindings::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Relu => bindings::Activation::Relu,
            Activation::LeakyRelu => bindings::Activation::LeakyRelu,
            Activation::Elu => bindings::Activation::Elu,
            Activation::Silu => bindings::Activation::Silu,
            Activation::Gelu => bindings::Activation::Gelu,
            Activation::Tanh => bindings::Activation::Tanh,
            Activation::Sigmoid => bindings::Activation::Sigmoid,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            source: Source::new(None, None, None),
            jit: true,
            activation: None,
            workers: cores(),
            on_bad_checkpoint: OnBadCheckpoint::Keep,
            reload_wait: Duration::from_millis(250),
            max_body_bytes: 8 << 20,
            max_batch: 4096,
            tokens: Vec::new(),
            cache_dir: crate::default_cache_dir(),
            component: None,
        }
    }
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
