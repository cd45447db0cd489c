//! The arguments of `replay`.

use std::path::PathBuf;

use clap::Args;
use sac_owner::settings::{defaults, variables};

use crate::args::load::LoadArgs;
use crate::args::values::Boolean;

/// The arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The logs, in any order. `-` is stdin
    #[arg(required = true, value_name = "LOG")]
    pub logs: Vec<PathBuf>,

    /// Look for the checkpoints in these folders and all folders below them, and among these files
    #[arg(long, visible_aliases = ["dir", "model"], required = true, value_name = "FOLDER|FILE")]
    pub root: Vec<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// The flag that the server had
    #[arg(long, env = variables::JIT, value_parser = Boolean, action = clap::ArgAction::Set,
          default_value_t = defaults::JIT, value_name = "BOOL")]
    pub jit: bool,

    #[command(flatten)]
    pub load: LoadArgs,
}
