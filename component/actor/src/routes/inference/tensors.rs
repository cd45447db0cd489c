//! The answer to an inference request.

use std::time::Instant;

use serde::Serialize;

use super::output::Output;
use crate::model::{Forward, LogStd};
use crate::routes::call::milliseconds;
use crate::routes::error::{Error, Row};
use crate::routes::loaded::{Loaded, Origin};
use crate::routes::sampling::{Sampling, check_finite};
use crate::run::Actor;
use crate::wit::{Outcome, Response};

/// The request for an inference, without its states.
pub struct Tensors {
    pub id: Option<String>,
    /// True if the shape of the states has no dimension for rows. Those of the outputs then have none either.
    pub is_single: bool,
    /// The outputs in their order, each with `true` if it is binary.
    pub outputs: Vec<(Output, bool)>,
}

#[derive(Serialize)]
struct Answer<'a> {
    model_name: &'a str,
    /// The generation of the checkpoint that computed the outputs.
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    parameters: Parameters<'a>,
    outputs: Vec<Tensor<'a>>,
}

#[derive(Serialize)]
struct Parameters<'a> {
    #[serde(flatten)]
    origin: Origin<'a>,
    latency_ms: f64,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'static str,
    /// [rows, action_dim], or [action_dim] if the shape of the input was [state_dim].
    shape: &'a [usize],
    datatype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    /// The numbers, one row after the other, unless they follow the JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a [f32]>,
}

#[derive(Serialize)]
struct BinarySize {
    /// The bytes of the tensor after the JSON.
    binary_data_size: usize,
}

impl Tensors {
    /// Returns `true` if the log_std of each row is an output.
    pub fn have_log_std(&self) -> bool {
        self.have(Output::LogStd)
    }

    fn have(&self, output: Output) -> bool {
        self.outputs.iter().any(|(other, _)| *other == output)
    }

    /// Answers by the outputs of the network, which took the time since `start`. Returns the actions too, if they are asked for.
    pub fn answer(
        self,
        name: &str,
        loaded: &Loaded,
        outputs: Forward,
        sampling: Sampling,
        start: Instant,
    ) -> Result<(Outcome, Option<Vec<f32>>), Error> {
        let shape = [outputs.mean.len() / loaded.actor.action_dim(), loaded.actor.action_dim()];
        let shape = if self.is_single { &shape[1..] } else { &shape };
        let mut values = self.values(&loaded.actor, outputs, sampling)?;
        let latency_ms = milliseconds(start);
        let (mut outputs, mut binary) = (vec![], vec![]);
        for (&(output, is_binary), numbers) in self.outputs.iter().zip(&values) {
            let binary_data_size = size_of_val(numbers.as_slice());
            let (parameters, data) = match is_binary {
                true => (Some(BinarySize { binary_data_size }), None),
                false => (None, Some(numbers.as_slice())),
            };
            outputs.push(Tensor { name: output.name(), shape, datatype: "FP32", parameters, data });
            binary.extend(is_binary.then_some(numbers));
        }
        let answer = Answer {
            model_name: name,
            model_version: &loaded.version,
            id: self.id.as_deref(),
            parameters: Parameters { origin: Origin::from(loaded), latency_ms },
            outputs,
        };
        let response = respond(&answer, &binary)?;
        let action = self.outputs.iter().position(|(output, _)| *output == Output::Action);
        Ok((response, action.map(|index| values.swap_remove(index))))
    }

    /// Computes the outputs that are asked for, in their order.
    fn values(&self, actor: &Actor, outputs: Forward, sampling: Sampling) -> Result<Vec<Vec<f32>>, Error> {
        let rule = actor.squashing().log_std;
        let mut mean = self.have(Output::Mean).then(|| outputs.mean.clone());
        let log_std = |rule: LogStd| outputs.log_std.iter().map(|number| rule.apply(*number)).collect();
        let mut log_std = rule.filter(|_| self.have(Output::LogStd)).map(log_std);
        let is_sampled = self.have(Output::Action);
        let mut action = is_sampled.then(|| sampling.actions(actor, outputs, |row| Row(Some(row)))).transpose()?;
        let value = |(output, _): &(Output, bool)| {
            let numbers = match output {
                Output::Action => action.take(),
                Output::Mean => mean.take(),
                Output::LogStd => log_std.take(),
            };
            let numbers = numbers.unwrap_or_default();
            check_finite(output.name(), &numbers, actor, |row| Row(Some(row)))?;
            Ok(numbers)
        };
        self.outputs.iter().map(value).collect()
    }
}

/// Makes the response: JSON, and the binary tensors after it.
fn respond(answer: &Answer, binary: &[&Vec<f32>]) -> Result<Outcome, Error> {
    let mut body = serde_json::to_vec(answer).map_err(|error| Error::Inference(error.into()))?;
    let mut headers = vec![];
    if !binary.is_empty() {
        headers.push(("content-type".to_owned(), "application/octet-stream".to_owned()));
        headers.push(("inference-header-content-length".to_owned(), body.len().to_string()));
        body.reserve_exact(binary.iter().map(|numbers| size_of_val(numbers.as_slice())).sum());
    }
    for numbers in binary {
        body.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
    Ok(Outcome::Respond(Response { status: 200, headers, body, decision: None }))
}
