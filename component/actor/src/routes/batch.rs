//! A batch of states on its way to its answer: the forward pass is computed at once, or by the owner in parts.

use std::time::Instant;

use super::call::{Call, forward};
use super::error::Error;
use super::loaded::{Loaded, Split};
use super::predict;
use super::sampling::Sampling;
use crate::model::Forward;
use crate::wit::{Batch, Outcome};

/// Answers a batch of whole states, of which there is at least one.
pub fn run(call: &mut Call, states: Vec<f32>, sampling: Sampling) -> Result<Outcome, Error> {
    let rows = states.len() / call.model()?.actor.state_dim();
    let is_split = call.is_worth_splitting(rows)?;
    let loaded = call.model()?;
    sampling.check(&loaded.actor)?;
    let start = Instant::now();
    let log_std = !sampling.deterministic;
    if is_split {
        loaded.split = Some(Split { rows, sampling, start });
        return Ok(Outcome::Split(Batch { states, log_std }));
    }
    let outputs = forward(&mut loaded.actor, &states, log_std)?;
    predict::answer_batch(loaded, outputs, sampling, start)
}

/// Answers the batch that the owner has computed in parts.
pub fn finish(loaded: &mut Loaded, outputs: Forward) -> Result<Outcome, Error> {
    let wrong = |what: &'static str| Error::Inference(anyhow::anyhow!(what));
    let Split { rows, sampling, start } = loaded.split.take().ok_or_else(|| wrong("no batch is split"))?;
    let numbers = rows * loaded.actor.action_dim();
    if outputs.mean.len() != numbers || !(sampling.deterministic || outputs.log_std.len() == numbers) {
        return Err(wrong("the outputs are not those of the batch"));
    }
    predict::answer_batch(loaded, outputs, sampling, start)
}
