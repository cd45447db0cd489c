//! The step from the network's outputs to actions.

use super::action_bounds::ActionBounds;
use super::forward::Forward;
use super::log_std::LogStd;
use super::noise::Noise;

/// The outputs of a policy's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// A mean and a log_std, before squashing.
    MeanAndLogStd,
    /// The action itself, which is taken as it is and cannot be sampled.
    Action,
}

/// The map from the network's outputs to actions.
#[derive(Debug, Clone, PartialEq)]
pub struct Squashing {
    pub outputs: Outputs,
    pub log_std: LogStd,
    /// The bounds that actions are scaled to. None if they stay within -1 and 1.
    pub bounds: Option<ActionBounds>,
}

impl Squashing {
    /// Returns the actions of a forward pass, row-major [rows, action_dim]: tanh(mean), or tanh(mean + exp(log_std)·ε)
    /// if there is noise, scaled to the bounds (Haarnoja et al., 2018, appendix C). An `action` is returned as it is.
    pub fn actions(&self, forward: Forward, noise: Option<&mut Noise>) -> Vec<f32> {
        let Forward { mut mean, log_std } = forward;
        if self.outputs == Outputs::Action {
            return mean;
        }
        if let Some(noise) = noise {
            for (mean, log_std) in mean.iter_mut().zip(log_std) {
                *mean += self.log_std.apply(log_std).exp() * noise.draw();
            }
        }
        mean.iter_mut().for_each(|mean| *mean = mean.tanh());
        if let Some(bounds) = &self.bounds {
            bounds.apply(&mut mean);
        }
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Squashing = Squashing { outputs: Outputs::MeanAndLogStd, log_std: LogStd::DEFAULT, bounds: None };

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
        let unchanged = Squashing { outputs: Outputs::Action, ..DEFAULT };
        assert_eq!(unchanged.actions(forward(&[1.5], &[]), None), [1.5]);
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
