//! The bounds of actions that a file contains.

use anyhow::{Result, bail, ensure};

use super::PolicySettings;
use crate::model::ActionBounds;

/// Names of lower and upper bounds.
const PAIRS: [(&str, &str); 5] = [
    ("action_low", "action_high"),
    ("action_space.low", "action_space.high"),
    // TanhModule of torchrl.
    ("1.action_low", "1.action_high"),
    // TanhNormal of torchrl.
    ("1.distribution_kwargs.low", "1.distribution_kwargs.high"),
    ("distribution_kwargs.low", "distribution_kwargs.high"),
];

/// Names of a scale and a bias.
const SCALES: [(&str, &str); 2] = [("action_scale", "action_bias"), ("_delta_a", "_central_a")];

/// Names of a limit on both sides of zero.
const LIMITS: [&str; 4] = ["act_limit", "action_limit", "max_action", "action_range"];

impl PolicySettings<'_> {
    /// Returns the bounds that actions are scaled to, and the name under which the file has them. The first prefix with
    /// any of their names decides. `with_limit` is false for libraries that keep a limit and do not apply it.
    pub fn action_bounds(&self, action_dim: usize, with_limit: bool) -> Result<Option<(ActionBounds, String)>> {
        for prefix in &self.prefixes {
            let values = |name: &str| self.values_at(prefix, &[name], action_dim);
            for (low, high) in PAIRS {
                let name = format!("`{prefix}{low}` and `{prefix}{high}`");
                match (values(low)?, values(high)?) {
                    (Some(low), Some(high)) => return Ok(Some((ActionBounds::between(&low, &high)?, name))),
                    (None, None) => {}
                    _ => bail!("only one of {name} is set: both bounds are expected"),
                }
            }
            for (scale, bias) in SCALES {
                let name = format!("`{prefix}{scale}` and `{prefix}{bias}`");
                let Some(scale) = values(scale)? else { continue };
                let bias = values(bias)?.unwrap_or_else(|| vec![0.0; action_dim]);
                return Ok(Some((ActionBounds::scaled(&scale, &bias)?, name)));
            }
            for limit in LIMITS.iter().filter(|_| with_limit) {
                let Some(values) = values(limit)? else { continue };
                let is_pair = *limit == "action_range" && values.windows(2).any(|pair| pair[0] != pair[1]);
                ensure!(
                    !is_pair,
                    "`{prefix}{limit}` is {values:?}: one number is expected, the limit on both sides of zero"
                );
                let low = values.iter().map(|limit| -limit).collect::<Vec<_>>();
                return Ok(Some((ActionBounds::between(&low, &values)?, format!("`{prefix}{limit}`"))));
            }
        }
        Ok(None)
    }

    /// Returns the bounds of d3rlpy's action scaler, or `None` inside if it has none; `None` if the file has no config of
    /// d3rlpy.
    #[allow(clippy::option_option, reason = "a config without a scaler says something else than no config")]
    pub fn action_scaler(&self, action_dim: usize) -> Result<Option<Option<ActionBounds>>> {
        let Some(kind) = self.text(&["config.action_scaler.type"]) else { return Ok(None) };
        if kind == "none" {
            return Ok(Some(None));
        }
        ensure!(kind == "min_max", "`config.action_scaler.type` is {kind}: min_max is expected");
        let values = |name: &str| self.values_at("config.action_scaler.params.", &[name], action_dim);
        let (Some(low), Some(high)) = (values("minimum")?, values("maximum")?) else {
            bail!("the action scaler has no `minimum` and `maximum`")
        };
        Ok(Some(Some(ActionBounds::between(&low, &high)?)))
    }
}
