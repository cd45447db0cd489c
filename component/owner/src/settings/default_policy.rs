//! The policy that answers paths without the name of one.

use thiserror::Error;

use super::ModelName;

/// The policy that answers `/sac/…` beside a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultPolicy {
    /// That of the checkpoint or the folder that the settings name.
    Source,
    /// A policy of the root.
    Named(ModelName),
    /// None. These routes are 404.
    None,
}

/// The settings of a root contradict each other.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidDefaultPolicy {
    /// Two policies would answer.
    #[error(
        "--default (SAC_DEFAULT) excludes --model (STAT_PAIR_RL_MODEL) and --dir (STAT_PAIR_RL_DIR), whose policy answers /sac/…"
    )]
    Two,
    /// There is no root.
    #[error("--default (SAC_DEFAULT) names a policy of --root (SAC_ROOT), which is not set")]
    NoRoot,
}

impl DefaultPolicy {
    /// Selects the default policy beside a root. `has_source` is true if another setting names a checkpoint or a folder.
    ///
    /// # Errors
    /// There is no root that could have the policy `named`, or another policy answers.
    pub fn select(named: Option<ModelName>, has_root: bool, has_source: bool) -> Result<Self, InvalidDefaultPolicy> {
        match (named, has_root, has_source) {
            (Some(_), false, _) => Err(InvalidDefaultPolicy::NoRoot),
            (Some(_), true, true) => Err(InvalidDefaultPolicy::Two),
            (Some(name), true, false) => Ok(DefaultPolicy::Named(name)),
            (None, true, false) => Ok(DefaultPolicy::None),
            (None, ..) => Ok(DefaultPolicy::Source),
        }
    }

    /// Returns the name of a policy of the root.
    pub fn name(&self) -> Option<&str> {
        match self {
            DefaultPolicy::Named(name) => Some(name.as_str()),
            DefaultPolicy::Source | DefaultPolicy::None => None,
        }
    }
}
