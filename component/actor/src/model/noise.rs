//! The noise of sampled actions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// A source of ε ~ N(0, 1). Row i of a batch takes the i-th draw of action_dim numbers.
pub struct Noise(ChaCha8Rng);

impl Noise {
    /// Makes a source from a seed; without one, from the operating system's randomness.
    ///
    /// # Errors
    ///
    /// Fails if the operating system gives no randomness.
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

    /// Draws a seed from the operating system's randomness.
    ///
    /// # Errors
    ///
    /// Fails if the operating system gives no randomness.
    pub fn seed() -> Result<u64, getrandom::Error> {
        getrandom::u64()
    }

    pub fn draw(&mut self) -> f32 {
        StandardNormal.sample(&mut self.0)
    }
}
