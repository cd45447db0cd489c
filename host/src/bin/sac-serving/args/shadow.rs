//! The flags of shadows.

use anyhow::{Result, ensure};
use clap::Args;
use sac_serving::ShadowConfig;

/// The flags of shadows.
#[derive(Debug, Args)]
#[command(next_help_heading = "Shadows")]
pub struct ShadowArgs {
    /// Let the newest checkpoint in the folder `shadow` of a policy's folder compute this share of its requests too, after they
    /// were answered, and show how the actions differ. 0 looks for no shadows, 1 compares every request
    #[arg(long, env = "SAC_SHADOW_SHARE", default_value_t = 0.0, value_name = "SHARE")]
    pub shadow_share: f64,

    /// Count the states whose actions differ by more than this, in the unit of the actions
    #[arg(long, env = "SAC_SHADOW_THRESHOLD", default_value_t = ShadowConfig::new(0.0).threshold, value_name = "DIFFERENCE")]
    pub shadow_threshold: f64,
}

impl ShadowArgs {
    /// Returns the settings of shadows, if there are any. `has_folder` is true if a policy has a folder.
    pub fn config(&self, has_folder: bool) -> Result<Option<ShadowConfig>> {
        ensure!((0.0..=1.0).contains(&self.shadow_share), "--shadow-share is between 0 and 1");
        ensure!(self.shadow_threshold >= 0.0, "--shadow-threshold is not below 0");
        if self.shadow_share == 0.0 {
            return Ok(None);
        }
        ensure!(has_folder, "--shadow-share takes a folder, by --dir or --root: --model names one file");
        Ok(Some(ShadowConfig { threshold: self.shadow_threshold, ..ShadowConfig::new(self.shadow_share) }))
    }
}
