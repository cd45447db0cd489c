//! The flags for loading checkpoints, which several commands have.

use std::path::PathBuf;

use clap::Args;
use sac_owner::settings::{ActionBounds, Activation, bytes, defaults, variables};
use sac_serving::{Config, Source};

use crate::args::values::one_of;

/// The flags for loading checkpoints.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The activation of checkpoints that do not contain it, in the file or in a card
    #[arg(long, env = variables::ACTIVATION, value_parser = one_of::<Activation>(Activation::NAMES), value_name = "NAME")]
    pub activation: Option<Activation>,

    /// The bounds that actions are scaled to, of checkpoints that do not contain them: `unit` for -1 and 1, or LOW:HIGH, each
    /// one number or one for every dimension (-2:2, or -1,0:1,2)
    #[arg(long, env = variables::ACTION_BOUNDS, value_parser = str::parse::<ActionBounds>, allow_hyphen_values = true,
          value_name = "BOUNDS")]
    pub action_bounds: Option<ActionBounds>,

    /// The VecNormalize statistics of every checkpoint, instead of those beside it
    #[arg(long, env = variables::VECNORMALIZE, value_name = "FILE")]
    pub vecnormalize: Option<PathBuf>,

    /// Refuse a checkpoint that is larger, together with the files beside it, without reading it
    #[arg(long, env = variables::MAX_CHECKPOINT_BYTES, value_parser = bytes::<u64>, default_value_t = defaults::MAX_CHECKPOINT_BYTES,
          value_name = "BYTES")]
    pub max_checkpoint_bytes: u64,
}

impl LoadArgs {
    /// Returns the configuration for the files of `source`.
    pub fn config(&self, source: Source, defaults: Config) -> Config {
        let home = std::env::home_dir();
        let mut source = source.with_vecnormalize(self.vecnormalize.as_deref(), home.as_deref());
        source.limits.max_bytes = self.max_checkpoint_bytes;
        Config { source, activation: self.activation, action_bounds: self.action_bounds.clone(), ..defaults }
    }
}
