//! The step from the network's outputs to actions.

use super::action_bounds::ActionBounds;
use super::forward::Forward;
use super::log_std::LogStd;
use super::noise::Noise;

/// The map from the network's outputs to actions.
#[derive(Debug, Clone, PartialEq)]
pub struct Squashing {
    pub squash: Squash,
    /// The rule for log_std. None if actions cannot be sampled.
    pub log_std: Option<LogStd>,
    /// The bounds that squashed actions are scaled to. None if they stay within -1 and 1, or are not squashed.
    pub bounds: Option<ActionBounds>,
}

/// The function that brings a mean, or a sample around it, into the range of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Squash {
    /// tanh, the definition of SAC (Haarnoja et al., 2018, appendix C).
    Tanh,
    /// A clamp to -1 and 1, as RLlib applies to the actions of a Gaussian before it scales them.
    Clamp,
    /// None: the mean is the action.
    None,
}

impl Squash {
    /// The squashes that trainers write themselves, the usual one first.
    pub const USUAL: [Squash; 2] = [Squash::Tanh, Squash::None];

    /// Returns the name in cards and reports.
    pub fn name(self) -> &'static str {
        match self {
            Squash::Tanh => "tanh",
            Squash::Clamp => "clip",
            Squash::None => "none",
        }
    }

    /// Squashes one number. NaN stays NaN.
    pub fn of(self, x: f64) -> f64 {
        match self {
            Squash::Tanh => x.tanh(),
            Squash::Clamp => x.clamp(-1.0, 1.0),
            Squash::None => x,
        }
    }

    fn apply(self, values: &mut [f32]) {
        match self {
            Squash::Tanh => values.iter_mut().for_each(|value| *value = value.tanh()),
            Squash::Clamp => values.iter_mut().for_each(|value| *value = value.clamp(-1.0, 1.0)),
            Squash::None => {}
        }
    }
}

impl Squashing {
    /// The map of a graph whose output is the action.
    pub const AS_IT_IS: Squashing = Squashing { squash: Squash::None, log_std: None, bounds: None };

    /// Returns the actions of a forward pass, row-major [rows, action_dim]: the squashed mean, or the squashed
    /// mean + exp(log_std)·ε if there is noise, scaled to the bounds (Haarnoja et al., 2018, appendix C).
    pub fn actions(&self, forward: Forward, noise: Option<&mut Noise>) -> Vec<f32> {
        let Forward { mut mean, log_std } = forward;
        if let (Some(noise), Some(rule)) = (noise, self.log_std) {
            for (mean, log_std) in mean.iter_mut().zip(log_std) {
                *mean += rule.apply(log_std).exp() * noise.draw();
            }
        }
        self.squash.apply(&mut mean);
        if let Some(bounds) = &self.bounds {
            bounds.apply(&mut mean);
        }
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Squashing = Squashing { squash: Squash::Tanh, log_std: Some(LogStd::DEFAULT), bounds: None };

    fn actions(forward: Forward, noise: Option<&mut Noise>) -> Vec<f32> {
        DEFAULT.actions(forward, noise)
    }

    fn forward(mean: &[f32], log_std: &[f32]) -> Forward {
        Forward { mean: mean.to_vec(), log_std: log_std.to_vec() }
    }

    fn seeded(seed: u64) -> Noise {
        Noise::new(Some(seed)).expect("a seed needs no entropy")
    }

    #[test]
    fn an_action_is_tanh_of_the_mean() {
        assert_eq!(actions(forward(&[0.5, -2.0], &[0.0, 0.0]), None), [0.5f32.tanh(), (-2.0f32).tanh()]);
    }

    #[test]
    fn an_action_output_is_the_action() {
        assert_eq!(Squashing::AS_IT_IS.actions(forward(&[1.5], &[]), None), [1.5]);
    }

    #[test]
    fn a_clamped_action_is_scaled_to_its_bounds() {
        let bounds = ActionBounds::between(&[0.0], &[10.0]).unwrap();
        let squashing = Squashing { squash: Squash::Clamp, log_std: None, bounds: Some(bounds) };
        assert_eq!(squashing.actions(forward(&[0.5, 3.0], &[]), None), [7.5, 10.0]);
    }

    #[test]
    fn a_seed_fixes_the_noise_and_row_i_takes_the_ith_draw() {
        let batch = actions(forward(&[0.1; 3], &[-1.0; 3]), Some(&mut seeded(7)));
        let single = actions(forward(&[0.1], &[-1.0]), Some(&mut seeded(7)));
        assert_eq!(batch[0], single[0]);
        assert_ne!(batch[0], batch[1]);
        assert_ne!(single, actions(forward(&[0.1], &[-1.0]), Some(&mut seeded(8))));
    }

    #[test]
    fn log_std_is_clamped() {
        let at = |log_std| actions(forward(&[0.0], &[log_std]), Some(&mut seeded(1)));
        assert_eq!(at(2.0), at(50.0));
        assert_eq!(at(-20.0), at(f32::NEG_INFINITY));
    }

    #[test]
    fn an_action_is_scaled_to_its_bounds() {
        let bounds = ActionBounds::between(&[-2.0, 0.0], &[2.0, 10.0]).unwrap();
        let squashing = Squashing { bounds: Some(bounds), ..DEFAULT };
        assert_eq!(squashing.actions(forward(&[0.0, 0.0, 40.0, -40.0], &[0.0; 4]), None), [0.0, 5.0, 2.0, 0.0]);
    }
}
