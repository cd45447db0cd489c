//! Decisions: the actions of an answer, on record with what they are computed from.

use anyhow::{Result, anyhow, ensure};

use super::call::forward;
use super::error::{Error, Row};
use super::loaded::Loaded;
use super::sampling::Sampling;
use crate::wit::{Decision, Outcome};

/// Adds the decision to an answer with these actions. There are no states if the owner wants no decision, and no actions if the
/// client asked for other outputs.
pub fn with_decision(
    outcome: Outcome,
    states: Option<Vec<f32>>,
    sampling: Sampling,
    actions: Option<Vec<f32>>,
) -> Outcome {
    match (outcome, states.zip(actions)) {
        (Outcome::Respond(mut response), Some((states, actions))) => {
            let seed = sampling.seed.filter(|_| !sampling.deterministic);
            response.decision = Some(Decision { states, seed, actions });
            Outcome::Respond(response)
        }
        (outcome, _) => outcome,
    }
}

/// Computes the actions of a decision again.
///
/// # Errors
///
/// Fails if the states are not whole rows, if there is a seed and the policy cannot be sampled, or if an action is not finite.
pub fn decide(loaded: &mut Loaded, states: &[f32], seed: Option<u64>) -> Result<Vec<f32>> {
    let actor = &mut loaded.actor;
    let (found, expected) = (states.len(), actor.state_dim());
    ensure!(found > 0 && found % expected == 0, "{found} numbers are not whole states of {expected}");
    let sampling = Sampling { deterministic: seed.is_none(), seed };
    let as_error = |error: Error| anyhow!("{error}");
    sampling.check(actor).map_err(as_error)?;
    let outputs = forward(actor, states, seed.is_some()).map_err(as_error)?;
    sampling.actions(actor, outputs, |row| Row(Some(row))).map_err(as_error)
}
