//! The bounds of actions that a file contains.

use anyhow::{Result, bail};

use super::PolicySettings;
use crate::model::ActionBounds;

/// Names of a limit on both sides of zero.
const LIMITS: [&str; 4] = ["act_limit", "action_limit", "max_action", "action_range"];

impl PolicySettings<'_> {
    /// Returns the bounds that actions are scaled to, and the name under which the file has them. The first prefix with
    /// any of their names decides. `with_limit` is false for libraries that keep a limit and do not apply it.
    pub fn action_bounds(&self, action_dim: usize, with_limit: bool) -> Result<Option<(ActionBounds, String)>> {
        for prefix in &self.prefixes {
            let values = |name: &str| self.values_at(prefix, &[name], action_dim);
            for (low, high) in [
                ("action_low", "action_high"),
                ("action_space.low", "action_space.high"),
                ("1.action_low", "1.action_high"),
            ] {
                let name = format!("`{prefix}{low}` and `{prefix}{high}`");
                match (values(low)?, values(high)?) {
                    (Some(low), Some(high)) => return Ok(Some((ActionBounds::between(&low, &high)?, name))),
                    (None, None) => {}
                    _ => bail!("only one of {name} is set: both bounds are expected"),
                }
            }
            if let Some(scale) = values("action_scale")? {
                let bias = values("action_bias")?.unwrap_or_else(|| vec![0.0; action_dim]);
                let name = format!("`{prefix}action_scale` and `{prefix}action_bias`");
                return Ok(Some((ActionBounds::scaled(&scale, &bias)?, name)));
            }
            for limit in LIMITS.iter().filter(|_| with_limit) {
                let Some(values) = values(limit)? else { continue };
                let low = values.iter().map(|limit| -limit).collect::<Vec<_>>();
                return Ok(Some((ActionBounds::between(&low, &values)?, format!("`{prefix}{limit}`"))));
            }
        }
        Ok(None)
    }
}
