//! The values of settings that are not set.

use std::num::NonZeroUsize;

/// The folder of checkpoints, relative to the working directory.
pub const FOLDER: &str = "cache/models/rl/stat_pair";
/// The pattern of the candidates in a folder.
pub const PATTERN: &str = "model_*";
/// The [`ModelName`](super::ModelName).
pub const MODEL_NAME: &str = "sac";
/// The optimised backend runs.
pub const JIT: bool = true;
/// The number of policies that an instance of the gateway keeps loaded. The memory of an instance never shrinks, and a
/// runtime keeps several instances.
pub const GATEWAY_MAX_POLICIES: NonZeroUsize = NonZeroUsize::new(32).unwrap();
/// 64 MiB.
pub const MAX_CHECKPOINT_BYTES: u64 = 64 << 20;
/// 8 MiB.
pub const MAX_BODY_BYTES: usize = 8 << 20;
/// The largest number of states in a batch.
pub const MAX_BATCH: u32 = 4096;
