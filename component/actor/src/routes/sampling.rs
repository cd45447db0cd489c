//! The step from the outputs of a network to the actions of an answer.

use super::error::{Error, Row};
use crate::model::{Forward, Noise};
use crate::run::Actor;

/// The way in which a request wants its actions drawn.
#[derive(Clone, Copy)]
pub struct Sampling {
    pub deterministic: bool,
    /// Makes the draws repeatable.
    pub seed: Option<u64>,
}

impl Sampling {
    /// Draws the seed of a decision that goes on record, if it takes one and the request has none.
    pub fn on_record(self) -> Result<Self, Error> {
        if self.deterministic || self.seed.is_some() {
            return Ok(self);
        }
        let seed = Noise::seed().map_err(|error| Error::Inference(error.into()))?;
        Ok(Sampling { seed: Some(seed), ..self })
    }

    /// Checks that a policy can be sampled, if it is to be.
    pub fn check(self, actor: &Actor) -> Result<(), Error> {
        if self.deterministic || actor.stochastic() { Ok(()) } else { Err(Error::DeterministicOnly) }
    }

    /// Computes the actions of a network's outputs.
    pub fn actions(self, actor: &Actor, forward: Forward, row: fn(usize) -> Row) -> Result<Vec<f32>, Error> {
        let mut noise = match self.deterministic {
            true => None,
            false => Some(Noise::new(self.seed).map_err(|error| Error::Inference(error.into()))?),
        };
        let actions = actor.squashing().actions(forward, noise.as_mut());
        check_finite("action", &actions, actor, row)?;
        Ok(actions)
    }
}

/// Checks an output of a policy, row-major [rows, action_dim].
pub fn check_finite(output: &'static str, numbers: &[f32], actor: &Actor, row: fn(usize) -> Row) -> Result<(), Error> {
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(index) => Err(Error::NotFinite { row: row(index / actor.action_dim()), output }),
        None => Ok(()),
    }
}
