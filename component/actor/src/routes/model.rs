//! What is loaded: health, info, reload.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Call, respond};
use crate::checkpoint::Instant;
use crate::routes::error::Error;
use crate::routes::openapi::{Operation, schema_of};
use crate::run::Backend;
use crate::service::{Outcome, Refusal};

#[derive(Serialize, JsonSchema)]
struct Health {
    #[schemars(extend("enum" = ["ok", "stale", "no_model"]))]
    status: &'static str,
    model_loaded: bool,
}

pub(super) const HEALTH: Operation = Operation {
    summary: "Whether there is a model, and whether it is the newest",
    request: None,
    answer: schema_of::<Health>,
    errors: &[503],
};

pub(super) fn health(call: &mut Call) -> Result<Outcome, Error> {
    let (code, status) = match (&call.service.loaded, &call.context.refusal) {
        (None, _) => (503, "no_model"),
        (Some(_), Some(_)) => (200, "stale"),
        (Some(_), None) => (200, "ok"),
    };
    respond(code, &Health { status, model_loaded: call.service.loaded.is_some() })
}

#[derive(Serialize, JsonSchema)]
struct Info<'a> {
    path: &'a str,
    #[schemars(extend("format" = "date-time"))]
    mtime_utc: &'a str,
    #[schemars(with = "&str", extend("format" = "date-time"))]
    loaded_at_utc: Instant,
    format: &'a str,
    layout: &'a str,
    /// Null where the graph itself has it.
    activation: Option<String>,
    size_bytes: usize,
    sha256: &'a str,
    state_dim: usize,
    action_dim: usize,
    stochastic: bool,
    /// Null where actions stay within -1 and 1, or are taken as they are.
    action_low: Option<&'a [f64]>,
    action_high: Option<&'a [f64]>,
    /// Told, and not applied. Null where there is no bound.
    observation_low: Option<Vec<Option<f64>>>,
    observation_high: Option<Vec<Option<f64>>>,
    observations_normalised: bool,
    jit_compiled: bool,
    #[serde(rename = "plan")]
    backend: Backend,
    generation: u64,
    stale: bool,
    last_error: Option<LastError<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct LastError<'a> {
    path: &'a str,
    #[schemars(with = "&str", extend("format" = "date-time"))]
    mtime_utc: Instant,
    detail: &'a str,
    #[schemars(with = "&str", extend("format" = "date-time"))]
    at_utc: Instant,
}

pub(super) const INFO: Operation = Operation {
    summary: "What is loaded, and what was refused",
    request: None,
    answer: schema_of::<Info>,
    errors: &[500, 503],
};

pub(super) const RELOAD: Operation =
    Operation { summary: "Loads the newest checkpoint though nothing changed", ..INFO };

pub(super) fn info(call: &mut Call) -> Result<Outcome, Error> {
    let refusal = call.context.refusal.as_ref();
    let loaded = call.model()?;
    let (actor, checkpoint) = (&loaded.actor, &loaded.checkpoint);
    let description = actor.description();
    let action = actor.squashing().bounds.as_ref();
    let observation = description.observation_bounds.as_ref();
    respond(
        200,
        &Info {
            path: &checkpoint.path,
            mtime_utc: &loaded.modified,
            loaded_at_utc: checkpoint.loaded,
            format: description.format,
            layout: description.layout,
            activation: description.activation(),
            size_bytes: loaded.size_bytes,
            sha256: &checkpoint.sha256,
            state_dim: actor.state_dim(),
            action_dim: actor.action_dim(),
            stochastic: actor.stochastic(),
            action_low: action.map(|bounds| bounds.low.as_slice()),
            action_high: action.map(|bounds| bounds.high.as_slice()),
            observation_low: observation
                .map(|(low, _)| low.iter().map(|low| low.is_finite().then_some(*low)).collect()),
            observation_high: observation
                .map(|(_, high)| high.iter().map(|high| high.is_finite().then_some(*high)).collect()),
            observations_normalised: actor.normalisation().is_some(),
            jit_compiled: actor.optimised(),
            backend: actor.backend(),
            generation: checkpoint.generation,
            stale: refusal.is_some(),
            last_error: refusal.map(|Refusal { path, modified, detail, at }| LastError {
                path,
                mtime_utc: *modified,
                detail,
                at_utc: *at,
            }),
        },
    )
}

pub(super) fn reload(call: &mut Call) -> Result<Outcome, Error> {
    match &call.context.reloaded {
        None => Ok(Outcome::Reload),
        Some(Ok(())) => info(call),
        Some(Err(detail)) => Err(Error::LoadFailed(detail.clone())),
    }
}
