//! The bounds of actions: given as numbers, or fitted to examples.

use anyhow::{Result, ensure};

use crate::card::{Example, GivenBounds};
use crate::model::ActionBounds;

/// The bounds that a policy may have.
#[derive(Debug, Clone, PartialEq)]
pub enum BoundsOption {
    /// Actions stay within -1 and 1, or are not squashed.
    Unscaled,
    /// Actions are scaled to these.
    Scaled(ActionBounds),
    /// The bounds that the examples determine.
    Fitted,
}

impl BoundsOption {
    /// Makes the bounds of a card or a flag for so many dimensions.
    pub fn given(bounds: &GivenBounds, action_dim: usize) -> Result<Self> {
        let GivenBounds::Between(low, high) = bounds else { return Ok(BoundsOption::Unscaled) };
        let all = |values: &[f64], name: &str| match values {
            [value] => Ok(vec![*value; action_dim]),
            _ => {
                ensure!(
                    values.len() == action_dim,
                    "`{name}` has {} numbers: {action_dim} are expected, or one for all",
                    values.len()
                );
                Ok(values.to_vec())
            }
        };
        let (low, high) = (all(low, "action_low")?, all(high, "action_high")?);
        let is_unit = low.iter().all(|low| *low == -1.0) && high.iter().all(|high| *high == 1.0);
        let bounds = ActionBounds::between(&low, &high)?;
        Ok(if is_unit { BoundsOption::Unscaled } else { BoundsOption::Scaled(bounds) })
    }

    /// Describes the bounds in one line.
    pub fn describe(&self) -> String {
        match self {
            BoundsOption::Unscaled => "-1 to 1".to_owned(),
            BoundsOption::Scaled(bounds) => {
                format!("{:?} to {:?}", bounds.bounds().low, bounds.bounds().high)
            }
            BoundsOption::Fitted => "fitted".to_owned(),
        }
    }
}

/// The fewest examples that determine two bounds and leave something to check.
pub const MIN_EXAMPLES: usize = 3;

/// Fits the bounds of each dimension to squashed means and the examples' actions by least squares. Returns `None` if
/// there are too few examples, or if they determine nothing.
pub fn fitted(squashed: &[Vec<f64>], examples: &[Example]) -> Option<ActionBounds> {
    (examples.len() >= MIN_EXAMPLES).then_some(())?;
    let count = examples.len() as f64;
    let (mut low, mut high) = (vec![], vec![]);
    for dimension in 0..squashed.first()?.len() {
        let pairs = || squashed.iter().zip(examples).map(|(x, example)| (x[dimension], example.action[dimension]));
        let mean = |f: &dyn Fn((f64, f64)) -> f64| pairs().map(f).sum::<f64>() / count;
        let (x, y) = (mean(&|(x, _)| x), mean(&|(_, y)| y));
        let variance = mean(&|(found, _)| (found - x).powi(2));
        // Means that hardly differ determine no scale.
        (variance > 1e-8).then_some(())?;
        let scale = mean(&|(found, action)| (found - x) * (action - y)) / variance;
        let bias = y - scale * x;
        low.push(rounded(bias - scale));
        high.push(rounded(bias + scale));
    }
    ActionBounds::between(&low, &high).ok()
}

/// Rounds a bound to three decimals if that is as near as the examples are exact.
fn rounded(bound: f64) -> f64 {
    let near = (bound * 1e3).round() / 1e3;
    if (near - bound).abs() < 2e-4 * bound.abs().max(1.0) { near } else { bound }
}
