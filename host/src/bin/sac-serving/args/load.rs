//! The flags for loading checkpoints, which several commands have.

use clap::Args;
use sac_owner::settings::{Activation, defaults, variables};
use sac_serving::{Config, Source};

use crate::args::values::one_of;

/// The flags for loading checkpoints.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The activation of a network whose file does not name it [default: relu, reported as assumed]
    #[arg(long, env = variables::ACTIVATION, value_parser = one_of::<Activation>(Activation::NAMES), value_name = "NAME")]
    pub activation: Option<Activation>,

    /// Refuse a larger checkpoint without reading it
    #[arg(long, env = variables::MAX_CHECKPOINT_BYTES, default_value_t = defaults::MAX_CHECKPOINT_BYTES, value_name = "BYTES")]
    pub max_checkpoint_bytes: u64,
}

impl LoadArgs {
    /// Returns the configuration for the files of `source`.
    pub fn config(&self, mut source: Source, defaults: Config) -> Config {
        source.limits.max_bytes = self.max_checkpoint_bytes;
        Config { source, activation: self.activation, ..defaults }
    }
}
