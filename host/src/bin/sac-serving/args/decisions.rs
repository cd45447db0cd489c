//! The flags of the log of decisions.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use sac_owner::settings::{bytes, is_blank};
use sac_serving::DecisionLogConfig;

use crate::args::values::whole;

/// The flags of the log of decisions.
#[derive(Debug, Args)]
#[command(next_help_heading = "Decisions on record")]
pub struct DecisionArgs {
    /// Write a line of JSON for each prediction to this file, or to decisions.jsonl in this folder
    #[arg(long, env = "SAC_DECISION_LOG", value_name = "FILE|FOLDER")]
    pub decision_log: Option<PathBuf>,

    /// Rename the file, with the time after its name, before it would grow beyond this
    #[arg(long, env = "SAC_DECISION_LOG_BYTES", value_parser = bytes::<u64>, default_value_t = DecisionLogConfig::new("").max_bytes,
          value_name = "BYTES")]
    pub decision_log_bytes: u64,

    /// Keep at most this many renamed files; 0 keeps all
    #[arg(long, env = "SAC_DECISION_LOG_FILES", value_parser = whole::<usize, 0>, default_value_t = DecisionLogConfig::new("").kept,
          value_name = "N")]
    pub decision_log_files: usize,
}

impl DecisionArgs {
    /// Returns the settings of the log, if there is one. `served` are the folders of checkpoints.
    pub fn config(&self, served: &[&Path]) -> Result<Option<DecisionLogConfig>> {
        let Some(path) = self.decision_log.as_deref().filter(|path| !is_blank(path.as_os_str())) else {
            return Ok(None);
        };
        let log = DecisionLogConfig {
            max_bytes: self.decision_log_bytes,
            kept: self.decision_log_files,
            ..DecisionLogConfig::new(path)
        };
        for folder in served {
            ensure!(
                !log.is_in(folder),
                "--decision-log is in {}, a folder of checkpoints: name another",
                folder.display()
            );
        }
        check_writable(path).with_context(|| format!("--decision-log: {} cannot be written", path.display()))?;
        Ok(Some(log))
    }
}

/// Fails if this process may not append to a file, or create it. Changes nothing.
fn check_writable(path: &Path) -> io::Result<()> {
    let folder = match path.metadata() {
        Ok(found) if found.is_dir() => path,
        Ok(found) if found.is_file() => return OpenOptions::new().append(true).open(path).map(drop),
        // A pipe is opened only while it has a reader.
        Ok(_) => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    };
    tempfile::tempfile_in(folder).map(drop)
}
