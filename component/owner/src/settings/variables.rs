//! The names of the environment variables that every owner reads.

/// The path of one checkpoint file.
pub const MODEL: &str = "STAT_PAIR_RL_MODEL";
/// The path of a folder of checkpoints.
pub const DIR: &str = "STAT_PAIR_RL_DIR";
/// A [boolean](super::boolean) that selects the optimised backend.
pub const JIT: &str = "STAT_PAIR_RL_JIT";
/// The [`Patterns`](super::Patterns) of the candidates in a folder.
pub const PATTERN: &str = "SAC_PATTERN";
/// The path of the VecNormalize statistics of all checkpoints.
pub const VECNORMALIZE: &str = "SAC_VECNORMALIZE";
/// The bearer token.
pub const API_TOKEN: &str = "SAC_API_TOKEN";
/// The name of an [`Activation`](super::Activation).
pub const ACTIVATION: &str = "SAC_ACTIVATION";
/// The [`ActionBounds`](super::ActionBounds) that actions are scaled to.
pub const ACTION_BOUNDS: &str = "SAC_ACTION_BOUNDS";
/// The name of an [`OnBadCheckpoint`](super::OnBadCheckpoint).
pub const ON_BAD_CHECKPOINT: &str = "SAC_ON_BAD_CHECKPOINT";
/// The [`ModelName`](super::ModelName) in paths of the Open Inference Protocol.
pub const MODEL_NAME: &str = "SAC_MODEL_NAME";
/// The path of a folder of folders, each of which is a policy.
pub const ROOT: &str = "SAC_ROOT";
/// The [`ModelName`](super::ModelName) of the policy of the root that answers `/sac/…`.
pub const DEFAULT: &str = "SAC_DEFAULT";
/// The number of policies of the root that are loaded at once.
pub const MAX_POLICIES: &str = "SAC_MAX_POLICIES";
/// The largest size of a checkpoint with its sidecars, in bytes.
pub const MAX_CHECKPOINT_BYTES: &str = "SAC_MAX_CHECKPOINT_BYTES";
/// The largest size of a request body, in bytes.
pub const MAX_BODY_BYTES: &str = "SAC_MAX_BODY_BYTES";
/// The largest number of states in a batch.
pub const MAX_BATCH: &str = "SAC_MAX_BATCH";
