//! The settings of a service. They are values: nothing here reads a file or starts anything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sac_owner::Source;
use sac_owner::settings::{ActionBounds, Activation, DefaultPolicy, ModelName, OnBadCheckpoint, defaults};

use crate::platform::user_cache;
use crate::watch::tokens::Tokens;

/// The settings of a [`crate::SacService`]. Start from [`Config::default`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The files that are candidates, and the limits for reading them.
    pub source: Source,
    /// The name of the model in paths of the Open Inference Protocol.
    pub model_name: ModelName,
    /// A folder of further policies, below `/policies`. Their limits and patterns are those of `source`.
    pub root: Option<RootConfig>,
    /// Compares each policy with the newest candidate in the folder `shadow` of its own folder. `None` looks for no shadows.
    pub shadow: Option<ShadowConfig>,
    /// Lets clients choose which candidate of a folder serves, by `/sac/model/candidates`. The choice is a time of the file.
    pub allow_rollback: bool,
    /// Records each prediction. `None` records none.
    pub decision_log: Option<DecisionLogConfig>,
    /// Selects the optimised backend: the kernel, or tract's optimised graph. If `false`, tract runs the graph as
    /// written. Responses report it as `jit_compiled`.
    pub jit: bool,
    /// The activation of checkpoints that do not contain it, in the file or in a card beside it. Without one, such a
    /// checkpoint is refused.
    pub activation: Option<Activation>,
    /// The action bounds of checkpoints that do not contain them, as `activation`.
    pub action_bounds: Option<ActionBounds>,
    /// The number of requests that run at once, and so the number of instances of a generation. The default is one
    /// for each core.
    pub workers: usize,
    /// The number of requests that may wait or run at once. Any other gets 503, except health.
    pub max_in_flight: usize,
    /// The consequence of a refused checkpoint for the routes that need a policy.
    pub on_bad_checkpoint: OnBadCheckpoint,
    /// The time that a request waits for a new checkpoint to load. After it, the policy in service answers.
    pub reload_wait: Duration,
    /// The size limit of a request body. A larger body gets 413.
    pub max_body_bytes: usize,
    /// The time limit for receiving a request body. A slower body gets 408.
    pub body_time: Duration,
    /// The largest number of states in a batch.
    pub max_batch: u32,
    /// The bearer tokens that authorise a request.
    pub tokens: Tokens,
    /// The limits of an instance of the component.
    pub sandbox: SandboxLimits,
    /// The folder for the compiled component. `None` compiles it at each start.
    pub cache_dir: Option<PathBuf>,
    /// A component of the world `sac:serving/actor`. `None` selects the one that is embedded in this crate.
    pub component: Option<Vec<u8>>,
}

/// The policies of a root folder: one for each sub-folder that has candidates. Start from [`RootConfig::new`].
#[derive(Debug, Clone)]
pub struct RootConfig {
    /// The folder of folders.
    pub folder: PathBuf,
    /// Selects the policy that answers `/sac/…`.
    pub default: DefaultPolicy,
    /// Loads the policies before requests ask for them, as many as may be loaded.
    pub preload: bool,
    /// A policy that no request asked for in this time is evicted: the next request for it loads it again.
    pub idle_time: Duration,
    /// The number of policies that are loaded at once. Beyond it, the one that was asked for least recently is evicted, as it
    /// is where [`SandboxLimits::total_memory_bytes`] leaves no room.
    pub max_policies: usize,
}

/// The settings of shadows. Start from [`ShadowConfig::new`].
#[derive(Debug, Clone)]
pub struct ShadowConfig {
    /// The share of the requests that a shadow computes too, from 0 to 1. Only deterministic actions are compared.
    pub share: f64,
    /// The difference of two actions, in their unit, above which a state counts.
    pub threshold: f64,
}

/// The settings of a log of decisions. Start from [`DecisionLogConfig::new`].
#[derive(Debug, Clone)]
pub struct DecisionLogConfig {
    /// The file, or a folder for the file `decisions.jsonl`.
    pub path: PathBuf,
    /// The file is renamed, with the time after its name, before it would grow beyond this.
    pub max_bytes: u64,
    /// The number of renamed files that are kept; 0 keeps all.
    pub kept: usize,
}

/// The limits of an instance of the component. An instance that exceeds one is dropped: the checkpoint is refused, or the
/// request gets an error, and the next request runs on another instance.
#[derive(Debug, Clone)]
pub struct SandboxLimits {
    /// The limit for all memories of an instance together. An instance holds a checkpoint several times while it loads: the
    /// file, the tensors, and the packed weights. Allow four times the largest checkpoint.
    pub memory_bytes: usize,
    /// The limit for all instances together, in every generation. As much of it as one instance may take is kept for loading
    /// the next checkpoint; the rest is for the instances that answer.
    pub total_memory_bytes: usize,
    /// An instance is replaced if it holds this much more than twice the memory that it held after loading its checkpoint.
    /// So one large request does not occupy memory for good.
    pub slack_bytes: usize,
    /// The number of tables of an instance.
    pub tables: usize,
    /// The number of elements of each table.
    pub table_elements: usize,
    /// The number of core modules within the component, and the number of its memories.
    pub instances: usize,
    /// The processor time for loading a checkpoint.
    pub load_time: Duration,
    /// The processor time for a request that the component expects to be short.
    pub call_time: Duration,
    /// The processor time for a large batch or a benchmark, which run on threads that may block.
    pub long_call_time: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            source: Source::new(None, None, None),
            model_name: ModelName::default(),
            root: None,
            shadow: None,
            allow_rollback: false,
            decision_log: None,
            jit: defaults::JIT,
            activation: None,
            action_bounds: None,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            max_in_flight: 512,
            on_bad_checkpoint: OnBadCheckpoint::default(),
            reload_wait: Duration::from_millis(250),
            max_body_bytes: defaults::MAX_BODY_BYTES,
            body_time: Duration::from_secs(30),
            max_batch: defaults::MAX_BATCH,
            tokens: Tokens::default(),
            sandbox: SandboxLimits::default(),
            cache_dir: default_cache_dir(),
            component: None,
        }
    }
}

impl ShadowConfig {
    /// Makes the settings of a share.
    pub fn new(share: f64) -> Self {
        ShadowConfig { share, threshold: 0.05 }
    }
}

impl DecisionLogConfig {
    /// Makes the settings of a file or a folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        DecisionLogConfig { path: path.into(), max_bytes: 128 << 20, kept: 0 }
    }

    /// Returns `true` if the log would be in a folder of checkpoints, each change of which makes requests list it.
    pub fn is_in(&self, folder: &Path) -> bool {
        let own = if self.path.is_dir() { Some(&*self.path) } else { self.path.parent() };
        let own = own.map(|own| if own.as_os_str().is_empty() { Path::new(".") } else { own });
        let canonical = own.map(Path::canonicalize).and_then(Result::ok).zip(folder.canonicalize().ok());
        canonical.is_some_and(|(own, folder)| own.starts_with(folder))
    }
}

impl RootConfig {
    /// Makes the settings of a folder, without a default policy.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        RootConfig {
            folder: folder.into(),
            default: DefaultPolicy::None,
            preload: false,
            idle_time: Duration::from_secs(3600),
            // Their instances fit into the default of `SandboxLimits::total_memory_bytes`, if each takes 3 MiB.
            max_policies: 256,
        }
    }
}

impl Default for SandboxLimits {
    fn default() -> Self {
        SandboxLimits {
            memory_bytes: 256 << 20,
            total_memory_bytes: 1 << 30,
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

/// Returns the folder `sac-serving` in the user's folder of caches, or `None` if the environment does not name that.
fn default_cache_dir() -> Option<PathBuf> {
    Some(user_cache()?.join("sac-serving"))
}
