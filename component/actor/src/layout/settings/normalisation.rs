//! The normalisation of observations that a file contains.

use anyhow::{Result, bail, ensure};

use super::PolicySettings;
use crate::file::Leaf;
use crate::layout::scope::is_foreign;
use crate::model::Normalisation;

/// Beginnings of the names of `mean`, `var` and `std`.
const GROUPS: [&str; 8] =
    ["obs_", "obs_rms.", "ob_rms.", "state_", "state_rms.", "obs_normalizer.", "obs_norm.", "running_mean_std."];

impl PolicySettings<'_> {
    /// Returns the normalisation of states, or `None` if the file has none.
    pub fn normalisation(&self, state_dim: usize) -> Result<Option<Normalisation>> {
        for (prefix, group) in self.prefixes.iter().flat_map(|prefix| GROUPS.map(|group| (prefix, group))) {
            let values = |name: &str| self.values_at(prefix, &[&format!("{group}{name}")], state_dim);
            let Some(mean) = values("mean")? else { continue };
            let epsilon = self.numbers(&["obs_epsilon", "obs_rms.epsilon"])?;
            let epsilon = epsilon.map_or(Normalisation::EPSILON, |(_, numbers)| numbers[0]);
            let clip = self.numbers(&["clip_obs", "obs_clip"])?.map(|(_, numbers)| numbers[0]);
            let std = match (values("var")?, values("std")?) {
                (Some(var), _) => var.iter().map(|var| (var + epsilon).sqrt()).collect(),
                (None, Some(std)) => std,
                (None, None) => bail!(
                    "`{prefix}{group}mean` stands alone: `{prefix}{group}var` or `{prefix}{group}std` is expected"
                ),
            };
            return Normalisation::new(&mean, &std, clip).map(Some);
        }
        self.check_unknown_normalisation(state_dim).map(|()| None)
    }

    /// Refuses a mean of state_dim numbers whose name speaks of a normalisation. To ignore it would change the actions.
    fn check_unknown_normalisation(&self, state_dim: usize) -> Result<()> {
        for (name, leaf) in self.contents.iter().filter(|(name, _)| !name.split('.').any(is_foreign)) {
            let lower = name.to_lowercase();
            let is_statistic = ["norm", "rms", "running"].iter().any(|word| lower.contains(word));
            let is_of_rewards = ["ret", "rew"].iter().any(|word| lower.contains(word));
            let count = match leaf {
                Leaf::Tensor(tensor) => tensor.numel(),
                Leaf::Numbers(numbers) => numbers.len(),
                Leaf::Text(_) | Leaf::Class(_) => continue,
            };
            let is_mean = lower.ends_with("mean") && is_statistic && !is_of_rewards && count == state_dim;
            ensure!(
                !is_mean,
                "`{name}` looks like a normalisation of observations, but its name is not known: save it as obs_mean \
                 and obs_var"
            );
        }
        Ok(())
    }
}
