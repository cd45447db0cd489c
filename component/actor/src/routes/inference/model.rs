//! The routes about the model: its metadata, and if it is ready.

use serde::Serialize;

use super::output::Output;
use super::state::STATE;
use crate::routes::call::{Call, respond};
use crate::routes::error::Error;
use crate::wit::Outcome;

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    /// The generation of the checkpoint in service, which is the only version.
    versions: [&'a str; 1],
    platform: String,
    inputs: [Tensor; 1],
    outputs: Vec<Tensor>,
    properties: Properties<'a>,
}

#[derive(Serialize)]
struct Tensor {
    name: &'static str,
    datatype: &'static str,
    /// -1 stands for any number of rows.
    shape: [i64; 2],
}

/// The checkpoint in service.
#[derive(Serialize)]
struct Properties<'a> {
    model_path: &'a str,
    model_mtime_utc: &'a str,
}

pub(super) fn metadata(call: &mut Call) -> Result<Outcome, Error> {
    let name = &call.config.name;
    let loaded = call.model()?;
    let actor = &loaded.actor;
    let tensor = |name, length: usize| Tensor { name, datatype: "FP32", shape: [-1, length as i64] };
    let outputs = Output::ALL.into_iter().filter(|output| output.is_of(actor));
    let metadata = Metadata {
        name,
        versions: [&loaded.version],
        // The protocol wants "<project>_<format>".
        platform: ["sac-serving_", actor.facts().format.name()].concat(),
        inputs: [tensor(STATE, actor.state_dim())],
        outputs: outputs.map(|output| tensor(output.name(), actor.action_dim())).collect(),
        properties: Properties { model_path: &loaded.checkpoint.path, model_mtime_utc: &loaded.modified },
    };
    respond(200, &metadata)
}

#[derive(Serialize)]
struct Ready<'a> {
    name: &'a str,
    ready: bool,
}

pub(super) fn ready(call: &mut Call) -> Result<Outcome, Error> {
    let ready = call.model().is_ok();
    respond(if ready { 200 } else { 503 }, &Ready { name: &call.config.name, ready })
}
