//! The arguments of `replay`.

use std::path::PathBuf;

use clap::Args;

use crate::args::load::LoadArgs;

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

    #[command(flatten)]
    pub load: LoadArgs,
}
