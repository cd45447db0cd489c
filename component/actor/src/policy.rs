//! From what the network says to an action.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::actor::Forward;

/// The bounds that SAC puts on log_std (Haarnoja et al., 2018; Spinning Up's and Stable-Baselines3's constants).
const LOG_STD_BOUNDS: (f32, f32) = (-20.0, 2.0);

/// Where ε ~ N(0, 1) comes from. Row i of a batch takes the i-th draw of action_dim numbers.
pub struct Noise(ChaCha8Rng);

impl Noise {
    /// Of a seed, or where there is none of the operating system's randomness.
    pub fn new(seed: Option<u64>) -> Result<Self, getrandom::Error> {
        let rng = match seed {
            Some(seed) => ChaCha8Rng::seed_from_u64(seed),
            None => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed)?;
                ChaCha8Rng::from_seed(seed)
            }
        };
        Ok(Noise(rng))
    }

    fn draw(&mut self) -> f32 {
        StandardNormal.sample(&mut self.0)
    }
}

/// The actions of a forward pass, row-major: tanh(mean), or tanh(mean + exp(log_std)·ε) where noise is given;
/// the network's own output where there is no log_std.
pub fn actions(forward: Forward, noise: Option<&mut Noise>) -> Vec<f32> {
    let Forward { mut mean, log_std } = forward;
    if log_std.is_empty() {
        return mean;
    }
    if let Some(noise) = noise {
        for (mean, log_std) in mean.iter_mut().zip(log_std) {
            *mean += log_std.clamp(LOG_STD_BOUNDS.0, LOG_STD_BOUNDS.1).exp() * noise.draw();
        }
    }
    mean.iter_mut().for_each(|mean| *mean = mean.tanh());
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(mean: &[f32], log_std: &[f32]) -> Forward {
        Forward { mean: mean.to_vec(), log_std: log_std.to_vec() }
    }

    #[test]
    fn an_action_is_tanh_of_the_mean() {
        assert_eq!(actions(forward(&[0.5, -2.0], &[0.0, 0.0]), None), [0.5f32.tanh(), (-2.0f32).tanh()]);
    }

    #[test]
    fn without_log_std_the_output_is_the_action() {
        assert_eq!(actions(forward(&[1.5], &[]), None), [1.5]);
    }

    fn seeded(seed: u64) -> Noise {
        Noise::new(Some(seed)).expect("a seed needs no entropy")
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
}
