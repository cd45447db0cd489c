//! The normalisation of states: clip((state - mean) / std, -clip, clip).

use std::borrow::Cow;

use anyhow::{Result, ensure};

use crate::wit::Normalisation;

impl Normalisation {
    /// The number added to a variance before its root is taken; the default of VecNormalize and of gymnasium.
    pub(crate) const EPSILON: f64 = 1e-8;

    /// Makes a normalisation from as many means and standard deviations as a state has numbers.
    ///
    /// # Errors
    ///
    /// Fails unless the means are finite, and the deviations finite and above zero, as f32; and the clip is above zero.
    pub(crate) fn new(mean: &[f64], std: &[f64], clip: Option<f64>) -> Result<Self> {
        let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<_>>();
        let normalisation = Normalisation { mean: single(mean), std: single(std), clip: clip.map(|clip| clip as f32) };
        let Normalisation { mean, std, clip } = &normalisation;
        ensure!(mean.iter().all(|mean| mean.is_finite()), "the mean of the observations is not finite");
        ensure!(
            std.iter().all(|std| std.is_finite() && *std > 0.0),
            "the standard deviation of the observations must be finite and above zero"
        );
        ensure!(clip.is_none_or(|clip| clip > 0.0), "the clip of the observations must be above zero");
        Ok(normalisation)
    }

    /// Normalises one state in double precision.
    pub(crate) fn of(&self, state: &[f64]) -> Vec<f64> {
        let clip = self.clip.map_or(f64::INFINITY, f64::from);
        let parts = state.iter().zip(&self.mean).zip(&self.std);
        parts.map(|((x, mean), std)| ((x - f64::from(*mean)) / f64::from(*std)).clamp(-clip, clip)).collect()
    }

    /// Normalises row-major states [rows, state_dim].
    pub(crate) fn apply(&self, states: &[f32]) -> Vec<f32> {
        let (mean, std) = (Cow::Borrowed(&self.mean[..]), Cow::Borrowed(&self.std[..]));
        sac_kernel::Normalisation { mean, std, clip: self.clip }.apply(states)
    }
}

#[cfg(test)]
mod tests {
    use super::Normalisation;

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
