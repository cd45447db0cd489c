//! The route that infers: from states to actions, and what they are computed from.

use super::body::Parts;
use super::output::Output;
use super::reader::read;
use super::request::{Inference, RequestedOutput};
use super::state::{self, Rows};
use super::tensors::Tensors;
use crate::routes::batch;
use crate::routes::call::Call;
use crate::routes::error::Error;
use crate::routes::limits::{check, check_outputs};
use crate::routes::loaded::Reply;
use crate::wit::Outcome;

pub(super) fn infer(call: &mut Call) -> Result<Outcome, Error> {
    call.model()?;
    let parts = Parts::of(call.body, call.inference_header_content_length)?;
    if call.is_long_to_parse(parts.bytes_to_parse()) {
        return Ok(Outcome::Long);
    }
    let request = read(parts.json);
    let request = request.map_err(|error| Error::Refused(format!("the body is no inference request: {error}")))?;
    let Inference { id, deterministic, seed, binary_data_output, input, outputs } = request;
    let input = input.ok_or_else(|| Error::Refused("the input `state` is missing".to_owned()))?;
    let outputs = with_forms(outputs, binary_data_output);
    let max_batch = call.config.max_batch;
    let actor = &call.model()?.actor;
    let (state_dim, action_dim) = (actor.state_dim(), actor.action_dim());
    if !outputs.iter().all(|(output, _)| output.is_of(actor)) {
        return Err(Error::Refused("the policy has no log_std".to_owned()));
    }
    let Rows { count, is_single } = Rows::of(&input.shape, state_dim)?;
    check("batch size", count, max_batch.into())?;
    let rows = count as usize;
    check_outputs(rows, action_dim, outputs.len())?;
    if call.is_long(rows)? {
        return Ok(Outcome::Long);
    }
    let states = state::numbers(input, rows, state_dim, &parts)?;
    let reply = Reply::Tensors(Tensors { id, is_single, outputs });
    let sampling = call.sampling(deterministic, seed)?;
    batch::run(call, states, sampling, reply)
}

/// Returns the outputs to answer with, each with `true` if it is binary.
fn with_forms(outputs: Vec<RequestedOutput>, binary: bool) -> Vec<(Output, bool)> {
    if outputs.is_empty() {
        return vec![(Output::Action, binary)];
    }
    let form = |RequestedOutput { output, binary_data }| (output, binary_data.unwrap_or(binary));
    outputs.into_iter().map(form).collect()
}
