//! The flags of a root folder of policies.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use sac_owner::settings::{ModelName, is_blank};
use sac_owner::{path_line, similar_folder};
use sac_serving::{DefaultPolicy, RootConfig, Source};
use tracing::warn;

use crate::args::values::{Boolean, whole};

/// The flags of a root folder of policies.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many policies")]
pub struct RootArgs {
    /// Serve each sub-folder NAME of this folder that has checkpoints as a policy of its own, below /policies/NAME
    #[arg(long, env = "SAC_ROOT", value_name = "FOLDER")]
    pub root: Option<PathBuf>,

    /// The policy of the root that answers /sac/… too. With --model or --dir, the policy that they name does
    #[arg(long = "default", env = "SAC_DEFAULT", value_name = "NAME")]
    pub default_policy: Option<ModelName>,

    /// Load the policies of the root at start, as many as --max-policies. Otherwise the first request for each loads it
    #[arg(long, env = "SAC_PRELOAD", value_parser = Boolean, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    pub preload: bool,

    /// Evict a policy of the root that no request asked for in this time. The next request for it loads it again
    #[arg(long, env = "SAC_POLICY_IDLE", default_value_t = RootConfig::new("").idle_time.into(), value_name = "TIME")]
    pub policy_idle: humantime::Duration,

    /// Keep at most this many policies of the root loaded. Beyond it, the one that was asked for least recently is evicted
    #[arg(long, env = "SAC_MAX_POLICIES", value_parser = whole::<usize, 1>, default_value_t = RootConfig::new("").max_policies,
          value_name = "N")]
    pub max_policies: usize,
}

impl RootArgs {
    /// Returns the settings of the root, if there is one. `has_source` is true if another flag names a checkpoint or a folder.
    pub fn config(&self, has_source: bool) -> Result<Option<RootConfig>> {
        let folder = self.root.as_deref().filter(|folder| !is_blank(folder.as_os_str()));
        let default = DefaultPolicy::select(self.default_policy.clone(), folder.is_some(), has_source)?;
        let Some(folder) = folder else { return Ok(None) };
        // A leading `~` means the same as in the other paths.
        let folder = Source::new(None, Some(folder), std::env::home_dir().as_deref()).path().to_owned();
        let found = folder.metadata().map_err(|error| unserved(&folder, error))?;
        ensure!(found.is_dir(), "--root: {} is a file, and a folder of folders is expected", folder.display());
        if let Some(name) = default.name().filter(|name| !folder.join(name).is_dir()) {
            warn!("--default: {} has no folder {name}, so /sac/… is 404 until it is there", path_line(&folder));
        }
        Ok(Some(RootConfig {
            default,
            preload: self.preload,
            idle_time: *self.policy_idle,
            max_policies: self.max_policies,
            ..RootConfig::new(folder)
        }))
    }
}

fn unserved(folder: &Path, error: io::Error) -> anyhow::Error {
    let question = similar_folder(folder).map(|question| format!(" ({question})")).unwrap_or_default();
    anyhow!("--root: {} cannot be served: {error}{question}", folder.display())
}
