//! The bounds that actions are scaled to.

use anyhow::{Result, ensure};

use crate::wit::Bounds;

/// The affine map from [-1, 1] to the bounds of each number of an action: action · scale + bias.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionBounds {
    bounds: Bounds,
    scale: Vec<f32>,
    bias: Vec<f32>,
}

impl ActionBounds {
    /// Makes the map to the bounds `low` and `high`, [action_dim] each.
    ///
    /// # Errors
    ///
    /// Fails unless every bound is finite as an f32 and below its counterpart.
    pub fn between(low: &[f64], high: &[f64]) -> Result<Self> {
        let half =
            |sign: f64| low.iter().zip(high).map(move |(low, high)| (high + sign * low) / 2.0).collect::<Vec<_>>();
        ActionBounds::new(Bounds { low: low.to_vec(), high: high.to_vec() }, &half(-1.0), &half(1.0))
    }

    /// Makes the map from its scale and bias, [action_dim] each, which CleanRL keeps as buffers.
    ///
    /// # Errors
    ///
    /// Fails as [`ActionBounds::between`] does.
    pub fn scaled(scale: &[f64], bias: &[f64]) -> Result<Self> {
        let bound =
            |sign: f64| bias.iter().zip(scale).map(move |(bias, scale)| bias + sign * scale).collect::<Vec<_>>();
        ActionBounds::new(Bounds { low: bound(-1.0), high: bound(1.0) }, scale, bias)
    }

    fn new(bounds: Bounds, scale: &[f64], bias: &[f64]) -> Result<Self> {
        let Bounds { low, high } = &bounds;
        let ordered = low
            .iter()
            .zip(high)
            .all(|(low, high)| low < high && (*low as f32).is_finite() && (*high as f32).is_finite());
        ensure!(
            ordered,
            "the action bounds are {low:?} and {high:?}: finite numbers are expected, the lower bound below the upper"
        );
        let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
        Ok(ActionBounds { scale: single(scale), bias: single(bias), bounds })
    }

    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub fn scale(&self) -> &[f32] {
        &self.scale
    }

    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Scales one action in double precision.
    pub fn scaled_of(&self, action: &[f64]) -> Vec<f64> {
        let parts = self.scale.iter().zip(&self.bias);
        action.iter().zip(parts).map(|(x, (scale, bias))| x * f64::from(*scale) + f64::from(*bias)).collect()
    }

    /// Scales row-major actions [rows, action_dim] in place.
    pub fn apply(&self, actions: &mut [f32]) {
        for row in actions.chunks_exact_mut(self.scale.len()) {
            for ((action, scale), bias) in row.iter_mut().zip(&self.scale).zip(&self.bias) {
                *action = *action * scale + bias;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ActionBounds;

    #[test]
    fn bounds_and_scale_and_bias_say_the_same() {
        let bounds = ActionBounds::between(&[-2.0, 0.0], &[2.0, 10.0]).unwrap();
        assert_eq!((bounds.scale(), bounds.bias()), (&[2.0, 5.0][..], &[0.0, 5.0][..]));
        assert_eq!(ActionBounds::scaled(&[2.0, 5.0], &[0.0, 5.0]).unwrap(), bounds);
    }

    #[test]
    fn bounds_are_finite_and_in_order() {
        for (low, high) in [(1.0, 1.0), (1.0, -1.0), (f64::NAN, 1.0), (f64::NEG_INFINITY, 1.0), (0.0, 1e300)] {
            assert!(ActionBounds::between(&[low], &[high]).is_err(), "{low} {high}");
        }
    }
}
