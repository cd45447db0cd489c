//! From what the network says to an action.

use anyhow::{Result, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::layout::LogStd;
use crate::onnx::Heads;
use crate::run::Forward;

/// Where ε ~ N(0, 1) comes from. Row i of a batch takes the i-th draw of action_dim numbers.
pub struct Noise(ChaCha8Rng);

impl Noise {
    /// Of a seed, or where there is none of the operating system's randomness.
    pub fn new(seed: Option<u64>) -> std::result::Result<Self, getrandom::Error> {
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

/// How the network's outputs become actions.
#[derive(Debug, Clone, PartialEq)]
pub struct Squashing {
    pub heads: Heads,
    pub log_std: LogStd,
    /// None: actions stay within -1 and 1.
    pub bounds: Option<Bounds>,
}

impl Squashing {
    /// The actions of a forward pass, row-major: tanh(mean), or tanh(mean + exp(log_std)·ε) where noise is given, scaled
    /// to the bounds; the network's own output where there is no log_std.
    pub fn actions(&self, forward: Forward, noise: Option<&mut Noise>) -> Vec<f32> {
        let Forward { mut mean, log_std } = forward;
        if self.heads == Heads::Action {
            return mean;
        }
        if let Some(noise) = noise {
            for (mean, log_std) in mean.iter_mut().zip(log_std) {
                *mean += self.log_std.of(log_std).exp() * noise.draw();
            }
        }
        mean.iter_mut().for_each(|mean| *mean = mean.tanh());
        if let Some(bounds) = &self.bounds {
            bounds.scale(&mut mean);
        }
        mean
    }
}

impl LogStd {
    /// This rule after another. Nothing where the two are no rule.
    pub fn after(self, other: LogStd) -> Option<LogStd> {
        let LogStd::Clamped { low, high } = self else { return None };
        match other {
            LogStd::Clamped { low: inner, high: outer } if inner <= outer => {
                Some(LogStd::Clamped { low: inner.clamp(low, high), high: outer.clamp(low, high) })
            }
            LogStd::Squashed { low: inner, high: outer } if low <= inner && outer <= high => Some(other),
            _ => None,
        }
    }

    /// Of the head's output. NaN stays NaN.
    pub fn of(self, output: f32) -> f32 {
        match self {
            LogStd::Clamped { low, high } => output.clamp(low, high),
            LogStd::Squashed { low, high } => low + 0.5 * (high - low) * (output.tanh() + 1.0),
        }
    }
}

/// The bounds of an action, for each of its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    pub low: Vec<f64>,
    pub high: Vec<f64>,
    scale: Vec<f32>,
    bias: Vec<f32>,
}

impl Bounds {
    pub fn between(low: &[f64], high: &[f64]) -> Result<Self> {
        let half =
            |sign: f64| low.iter().zip(high).map(move |(low, high)| (high + sign * low) / 2.0).collect::<Vec<_>>();
        Bounds::new(low.to_vec(), high.to_vec(), &half(-1.0), &half(1.0))
    }

    /// An action of -1 to 1 times `scale` plus `bias`, as CleanRL's buffers have it.
    pub fn scaled(scale: &[f64], bias: &[f64]) -> Result<Self> {
        let bound =
            |sign: f64| bias.iter().zip(scale).map(move |(bias, scale)| bias + sign * scale).collect::<Vec<_>>();
        Bounds::new(bound(-1.0), bound(1.0), scale, bias)
    }

    fn new(low: Vec<f64>, high: Vec<f64>, scale: &[f64], bias: &[f64]) -> Result<Self> {
        let ordered = low
            .iter()
            .zip(&high)
            .all(|(low, high)| low < high && (*low as f32).is_finite() && (*high as f32).is_finite());
        ensure!(ordered, "action bounds from {low:?} to {high:?}: finite ones are expected, the lower first");
        let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
        Ok(Bounds { low, high, scale: single(scale), bias: single(bias) })
    }

    /// What an action of -1 to 1 is multiplied by.
    pub fn factors(&self) -> &[f32] {
        &self.scale
    }

    /// What is added to it then.
    pub fn offsets(&self) -> &[f32] {
        &self.bias
    }

    fn scale(&self, actions: &mut [f32]) {
        for row in actions.chunks_exact_mut(self.scale.len()) {
            for ((action, scale), bias) in row.iter_mut().zip(&self.scale).zip(&self.bias) {
                *action = *action * scale + bias;
            }
        }
    }
}

/// What is done to a state before the network sees it: clip((state - mean) / std, -clip, clip).
#[derive(Debug, Clone, PartialEq)]
pub struct Normalisation {
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
    pub clip: Option<f32>,
}

impl Normalisation {
    /// What is added to a variance before its root is taken (VecNormalize's and gymnasium's default).
    pub const EPSILON: f64 = 1e-8;

    pub fn new(mean: &[f64], std: &[f64], clip: Option<f64>) -> Result<Self> {
        let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<_>>();
        let normalisation = Normalisation { mean: single(mean), std: single(std), clip: clip.map(|clip| clip as f32) };
        let Normalisation { mean, std, clip } = &normalisation;
        ensure!(mean.iter().all(|mean| mean.is_finite()), "the observations' mean is not finite");
        ensure!(
            std.iter().all(|std| std.is_finite() && *std > 0.0),
            "the observations' standard deviation must be finite and over zero"
        );
        ensure!(clip.is_none_or(|clip| clip > 0.0), "the observations are clipped to nothing");
        Ok(normalisation)
    }

    /// Of row-major states.
    pub fn apply(&self, states: &[f32]) -> Vec<f32> {
        let mut normalised = Vec::with_capacity(states.len());
        for row in states.chunks_exact(self.mean.len()) {
            normalised.extend(row.iter().zip(&self.mean).zip(&self.std).map(|((state, mean), std)| {
                let value = (state - mean) / std;
                self.clip.map_or(value, |clip| value.clamp(-clip, clip))
            }));
        }
        normalised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Squashing = Squashing { heads: Heads::Gaussian, log_std: LogStd::USUAL, bounds: None };

    fn actions(forward: Forward, noise: Option<&mut Noise>) -> Vec<f32> {
        USUAL.actions(forward, noise)
    }

    fn forward(mean: &[f32], log_std: &[f32]) -> Forward {
        Forward { mean: mean.to_vec(), log_std: log_std.to_vec() }
    }

    #[test]
    fn an_action_is_tanh_of_the_mean() {
        assert_eq!(actions(forward(&[0.5, -2.0], &[0.0, 0.0]), None), [0.5f32.tanh(), (-2.0f32).tanh()]);
    }

    #[test]
    fn without_log_std_the_output_is_the_action() {
        let as_it_is = Squashing { heads: Heads::Action, ..USUAL };
        assert_eq!(as_it_is.actions(forward(&[1.5], &[]), None), [1.5]);
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

    #[test]
    fn log_std_is_squashed_as_cleanrl_does() {
        let rule = LogStd::Squashed { low: -5.0, high: 2.0 };
        for (output, expected) in [(0.0, -1.5), (f32::INFINITY, 2.0), (f32::NEG_INFINITY, -5.0)] {
            assert_eq!(rule.of(output), expected);
        }
    }

    #[test]
    fn an_action_is_scaled_to_its_bounds() {
        let bounds = Bounds::between(&[-2.0, 0.0], &[2.0, 10.0]).unwrap();
        assert_eq!((&bounds.scale, &bounds.bias), (&vec![2.0, 5.0], &vec![0.0, 5.0]));
        assert_eq!(Bounds::scaled(&[2.0, 5.0], &[0.0, 5.0]).unwrap(), bounds);
        let squashing = Squashing { bounds: Some(bounds), ..USUAL };
        assert_eq!(squashing.actions(forward(&[0.0, 0.0, 40.0, -40.0], &[0.0; 4]), None), [0.0, 5.0, 2.0, 0.0]);
        for (low, high) in [(1.0, 1.0), (1.0, -1.0), (f64::NAN, 1.0), (f64::NEG_INFINITY, 1.0), (0.0, 1e300)] {
            assert!(Bounds::between(&[low], &[high]).is_err(), "{low} {high}");
        }
    }

    #[test]
    fn a_state_is_normalised_and_clipped() {
        let normalisation = Normalisation::new(&[1.0, -1.0], &[2.0, 0.5], Some(3.0)).unwrap();
        assert_eq!(normalisation.apply(&[2.0, -1.5, 1e9, f32::MIN]), [0.5, -1.0, 3.0, -3.0]);
        for (mean, std, clip) in [(f64::NAN, 1.0, None), (0.0, 0.0, None), (0.0, f64::NAN, None), (0.0, 1.0, Some(0.0))]
        {
            assert!(Normalisation::new(&[mean], &[std], clip).is_err());
        }
    }
}
