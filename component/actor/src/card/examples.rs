//! Examples: pairs of a state and the action that the trainer computes for it deterministically.

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::OneOrMany;

/// A state and its action.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    pub state: Vec<f64>,
    #[serde(deserialize_with = "action")]
    pub action: Vec<f64>,
}

/// The most examples of a card.
const MAX_EXAMPLES: usize = 256;

/// The largest difference of an action, relative to numbers above 1.
const TOLERANCE: f64 = 1e-4;

impl Example {
    /// Returns `true` if an action is the example's.
    pub fn fits(&self, action: impl ExactSizeIterator<Item = f64>) -> bool {
        action.len() == self.action.len() && action.zip(&self.action).all(|(found, expected)| is_near(found, *expected))
    }
}

/// Returns `true` if a number differs from the expected one by no more than an example may. NaN differs.
pub fn is_near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
}

/// Checks the number of examples, and that they are of one shape.
pub fn check(examples: &[Example]) -> Result<()> {
    ensure!(examples.len() <= MAX_EXAMPLES, "it has {} examples: at most {MAX_EXAMPLES} are compared", examples.len());
    let shape = |example: &Example| (example.state.len(), example.action.len());
    let is_one_shape = examples.windows(2).all(|pair| shape(&pair[0]) == shape(&pair[1]));
    ensure!(is_one_shape, "its examples have states or actions of different lengths");
    Ok(())
}

fn action<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    Ok(OneOrMany::deserialize(deserializer)?.into())
}
