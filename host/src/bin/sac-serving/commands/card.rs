//! The command `card`: writes what a checkpoint says and lacks, as a card to complete.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use sac_serving::{Config, Inspector, Source};

use crate::args::CardArgs;
use crate::commands::checkpoint;
use crate::commands::output::{check_output, write_output};

/// The card of a folder.
const FOLDER_CARD: &str = "policy.json";

pub fn run(args: &CardArgs, defaults: Config) -> Result<()> {
    if let Some(path) = &args.output {
        check_output(path, args.force)?;
    }
    let file = checkpoint(&args.file, &args.names)?;
    let config = args.load.config(Source::new(Some(&file), None, None), defaults);
    let is_folders = args.output.as_deref().and_then(Path::file_name) == Some(OsStr::new(FOLDER_CARD));
    let card = Inspector::new(config)?.card(&file, is_folders);
    let card = card.with_context(|| format!("there is no card of {}", file.display()))?;
    match &args.output {
        Some(path) => {
            let written = write_output(path, card.as_bytes(), args.force);
            written.with_context(|| format!("{} cannot be written", path.display()))
        }
        None => Ok(std::io::stdout().lock().write_all(card.as_bytes())?),
    }
}
