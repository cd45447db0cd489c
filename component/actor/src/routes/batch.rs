//! A batch of states on its way to its answer: the forward pass is computed at once, or by the owner in parts.

use std::time::Instant;

use super::benchmark;
use super::call::{Call, forward};
use super::decision::with_decision;
use super::error::Error;
use super::loaded::{Loaded, Reply, Split};
use super::predict;
use super::sampling::Sampling;
use crate::model::Forward;
use crate::wit::{Batch, Outcome, RouterConfig};

/// Answers a batch of whole states, of which there is at least one.
pub fn run(call: &mut Call, states: Vec<f32>, sampling: Sampling, reply: Reply) -> Result<Outcome, Error> {
    let config = call.config;
    let rows = states.len() / call.model()?.actor.state_dim();
    let is_split = call.is_worth_splitting(rows)?;
    let wants_decision = call.context.wants_decision;
    let loaded = call.model()?;
    let mut split = Split { rows, states: None, sampling, start: Instant::now(), reply };
    let log_std = split.needs_log_std();
    if is_split {
        split.states = wants_decision.then(|| states.clone());
        loaded.split = Some(split);
        return Ok(Outcome::Split(Batch { states, log_std }));
    }
    let outputs = forward(&mut loaded.actor, &states, log_std)?;
    split.states = wants_decision.then_some(states);
    split.answer(config, loaded, outputs)
}

/// Answers the batch that the owner has computed in parts.
pub fn finish(
    config: &RouterConfig,
    loaded: &mut Loaded,
    split: Option<Split>,
    outputs: Forward,
) -> Result<Outcome, Error> {
    let wrong = |what: &'static str| Error::Inference(anyhow::anyhow!(what));
    let split = split.ok_or_else(|| wrong("no batch is split"))?;
    let numbers = split.rows * loaded.actor.action_dim();
    if outputs.mean.len() != numbers || (split.needs_log_std() && outputs.log_std.len() != numbers) {
        return Err(wrong("the outputs are not those of the batch"));
    }
    split.answer(config, loaded, outputs)
}

impl Split {
    fn needs_log_std(&self) -> bool {
        !self.sampling.deterministic || matches!(&self.reply, Reply::Tensors(tensors) if tensors.have_log_std())
    }

    fn answer(self, config: &RouterConfig, loaded: &mut Loaded, outputs: Forward) -> Result<Outcome, Error> {
        let Split { states, sampling, start, reply, .. } = self;
        let (outcome, actions) = match reply {
            Reply::Actions => predict::answer_batch(loaded, outputs, sampling, start)?,
            Reply::Report(measurement) => return benchmark::go_on(loaded, measurement, start),
            Reply::Tensors(tensors) => tensors.answer(&config.name, loaded, outputs, sampling, start)?,
        };
        Ok(with_decision(outcome, states, sampling, actions))
    }
}
