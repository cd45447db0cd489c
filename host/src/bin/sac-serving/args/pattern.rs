//! The flag for the names of checkpoints in a folder.

use clap::Args;
use sac_owner::settings::{Patterns, defaults, variables};

/// The flag for the names of checkpoints in a folder.
#[derive(Debug, Args)]
pub struct PatternArgs {
    /// The names of checkpoints in the folder: globs, in several flags or separated by commas. A glob that ends in `*` takes
    /// the extensions onnx, pt, pth, zip, safetensors, ckpt, pt2, d3, msh and cleanrl_model; any other decides alone
    #[arg(long, env = variables::PATTERN, value_parser = str::parse::<Patterns>, default_value = defaults::PATTERN,
          value_name = "GLOBS")]
    pattern: Vec<Patterns>,
}

impl PatternArgs {
    /// Returns the names that one of the globs takes.
    pub fn patterns(&self) -> Patterns {
        Patterns::union(&self.pattern)
    }
}
