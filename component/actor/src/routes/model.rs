//! The routes about the checkpoint in service: health, info, reload.

use schemars::JsonSchema;
use serde::Serialize;

use super::call::{Call, respond};
use super::error::Error;
use super::openapi::{Operation, schema_of};
use crate::model::ActionBounds;
use crate::wit::{Backend, Bounds, Fact, Instant, Outcome, Refusal};

#[derive(Serialize, JsonSchema)]
struct Health<'a> {
    #[schemars(extend("enum" = ["ok", "stale", "no_model"]))]
    status: &'static str,
    model_loaded: bool,
    /// The reason why no checkpoint, or no newer one, can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

pub(super) const HEALTH: Operation = Operation {
    id: "health",
    summary: "Says if a model is loaded and if it is the newest",
    request: None,
    response: schema_of::<Health>,
    errors: &[503],
};

pub(super) fn health(call: &mut Call) -> Result<Outcome, Error> {
    let (code, status) = match (&*call.loaded, &call.context.refusal) {
        (None, _) => (503, "no_model"),
        (Some(_), Some(_)) => (200, "stale"),
        (Some(_), None) => (200, "ok"),
    };
    let detail = call.context.absence.as_deref();
    respond(code, &Health { status, model_loaded: call.loaded.is_some(), detail })
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
    /// Null for a graph, which contains its own.
    activation: Option<&'a str>,
    /// The facts that the policy is computed from, each with its source.
    facts: Vec<FactInfo<'a>>,
    /// The number of examples in the card that the policy was compared with.
    verified_examples: usize,
    size_bytes: usize,
    sha256: &'a str,
    state_dim: usize,
    action_dim: usize,
    stochastic: bool,
    /// Null if actions stay within -1 and 1, or are the graph's own output.
    action_low: Option<&'a [f64]>,
    action_high: Option<&'a [f64]>,
    /// Reported, not applied. Null for a missing bound.
    observation_low: Option<Vec<Option<f64>>>,
    observation_high: Option<Vec<Option<f64>>>,
    observations_normalised: bool,
    jit_compiled: bool,
    #[serde(rename = "plan")]
    backend: BackendName,
    generation: u64,
    stale: bool,
    last_error: Option<LastError<'a>>,
}

/// A fact of the policy and its source.
#[derive(Serialize, JsonSchema)]
#[serde(rename = "Fact")]
struct FactInfo<'a> {
    name: &'a str,
    value: &'a str,
    source: &'a str,
}

impl<'a> From<&'a Fact> for FactInfo<'a> {
    fn from(fact: &'a Fact) -> Self {
        FactInfo { name: &fact.name, value: &fact.value, source: &fact.source }
    }
}

/// The backend that runs the network.
#[derive(Serialize, JsonSchema)]
#[serde(rename = "Backend", rename_all = "lowercase")]
enum BackendName {
    Kernel,
    Tract,
}

impl From<Backend> for BackendName {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Kernel => BackendName::Kernel,
            Backend::Tract => BackendName::Tract,
        }
    }
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
    id: "info",
    summary: "Describes the model in service and the last refusal",
    request: None,
    response: schema_of::<Info>,
    errors: &[500, 503],
};

pub(super) const RELOAD: Operation =
    Operation { id: "reload", summary: "Loads the newest checkpoint, changed or not", ..INFO };

pub(super) fn info(call: &mut Call) -> Result<Outcome, Error> {
    let refusal = call.context.refusal.as_ref();
    let loaded = call.model()?;
    let (actor, checkpoint) = (&loaded.actor, &loaded.checkpoint);
    let facts = actor.facts();
    let action = actor.squashing().bounds.as_ref().map(ActionBounds::bounds);
    let (observation_low, observation_high) = facts.observation_bounds.as_ref().map(finite).unzip();
    respond(
        200,
        &Info {
            path: &checkpoint.path,
            mtime_utc: &loaded.modified,
            loaded_at_utc: checkpoint.loaded,
            format: facts.format.name(),
            layout: facts.layout,
            activation: facts.value("activation"),
            facts: facts.list.iter().map(FactInfo::from).collect(),
            verified_examples: facts.verified_examples,
            size_bytes: loaded.size_bytes,
            sha256: loaded.digest.hex(),
            state_dim: actor.state_dim(),
            action_dim: actor.action_dim(),
            stochastic: actor.stochastic(),
            action_low: action.map(|bounds| bounds.low.as_slice()),
            action_high: action.map(|bounds| bounds.high.as_slice()),
            observation_low,
            observation_high,
            observations_normalised: actor.normalisation().is_some(),
            jit_compiled: actor.optimised(),
            backend: actor.backend().into(),
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

/// Returns the bounds as JSON can write them, which has no infinity.
fn finite(bounds: &Bounds) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
    let finite = |values: &[f64]| values.iter().map(|value| value.is_finite().then_some(*value)).collect();
    (finite(&bounds.low), finite(&bounds.high))
}

pub(super) fn reload(call: &mut Call) -> Result<Outcome, Error> {
    match &call.context.reloaded {
        None => Ok(Outcome::Reload),
        Some(Ok(())) => info(call),
        Some(Err(detail)) => Err(Error::LoadFailed(detail.clone())),
    }
}
