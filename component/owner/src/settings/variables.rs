//! The names of the environment variables that every owner reads.

/// The path of one checkpoint file.
pub const MODEL: &str = "STAT_PAIR_RL_MODEL";
/// The path of a folder of checkpoints.
pub const DIR: &str = "STAT_PAIR_RL_DIR";
/// A [boolean](super::boolean) that selects the optimised backend.
pub const JIT: &str = "STAT_PAIR_RL_JIT";
/// The bearer token.
pub const API_TOKEN: &str = "SAC_API_TOKEN";
/// The name of an [`Activation`](super::Activation).
pub const ACTIVATION: &str = "SAC_ACTIVATION";
/// The name of an [`OnBadCheckpoint`](super::OnBadCheckpoint).
pub const ON_BAD_CHECKPOINT: &str = "SAC_ON_BAD_CHECKPOINT";
/// The largest size of a checkpoint, in bytes.
pub const MAX_CHECKPOINT_BYTES: &str = "SAC_MAX_CHECKPOINT_BYTES";
/// The largest size of a request body, in bytes.
pub const MAX_BODY_BYTES: &str = "SAC_MAX_BODY_BYTES";
/// The largest number of states in a batch.
pub const MAX_BATCH: &str = "SAC_MAX_BATCH";
