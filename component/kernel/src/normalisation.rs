//! The normalisation of states.

use std::borrow::Cow;

/// The map clip((state - mean) / std, -clip, clip).
#[derive(Debug, Clone, PartialEq)]
pub struct Normalisation<'a> {
    /// One number for each of a state.
    pub mean: Cow<'a, [f32]>,
    /// As many.
    pub std: Cow<'a, [f32]>,
    /// Above zero, if there is one.
    pub clip: Option<f32>,
}

impl Normalisation<'_> {
    /// Normalises row-major states [rows, state_dim].
    pub fn apply(&self, states: &[f32]) -> Vec<f32> {
        let mut normalised = Vec::with_capacity(states.len());
        for row in states.chunks_exact(self.mean.len()) {
            normalised.extend(row.iter().zip(&*self.mean).zip(&*self.std).map(|((state, mean), std)| {
                let value = (state - mean) / std;
                self.clip.map_or(value, |clip| value.clamp(-clip, clip))
            }));
        }
        normalised
    }

    /// Returns a copy that borrows nothing.
    pub fn to_static(&self) -> Normalisation<'static> {
        let own = |numbers: &[f32]| Cow::Owned(numbers.to_vec());
        Normalisation { mean: own(&self.mean), std: own(&self.std), clip: self.clip }
    }

    /// Returns `true` if states of this length can be normalised. A normalisation may come from anywhere.
    pub fn is_sound(&self, state_dim: usize) -> bool {
        let is_clip = self.clip.is_none_or(|clip| clip > 0.0);
        state_dim > 0 && [self.mean.len(), self.std.len()] == [state_dim; 2] && is_clip
    }
}
