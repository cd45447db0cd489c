use anyhow::Result;

use crate::checkpoint::{Checkpoint, Instant};
use crate::file::File;
use crate::model::Model;
use crate::model::mlp::Activation;
use crate::model::policy::Normalisation;
use crate::routes;
use crate::routes::error::Error;
use crate::run::{Actor, Backend};

/// A policy and the routes that it answers: `serving.service` of `wit/serving.wit`, where its types are explained.
pub struct Service {
    pub(crate) config: RouterConfig,
    pub(crate) loaded: Option<Loaded>,
}

pub struct RouterConfig {
    pub optimised: bool,
    pub activation: Option<Activation>,
    pub on_refusal: OnRefusal,
    pub max_batch: u32,
    pub max_body_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRefusal {
    Keep,
    Fail,
}

pub struct Policy {
    pub format: &'static str,
    pub layout: &'static str,
    pub backend: Backend,
    pub layers: Vec<Layer>,
    pub activation: Option<String>,
    pub state_dim: u32,
    pub action_dim: u32,
    pub stochastic: bool,
    pub action_bounds: Option<(Vec<f64>, Vec<f64>)>,
    pub observation_bounds: Option<(Vec<f64>, Vec<f64>)>,
    pub normalisation: Option<Normalisation>,
}

pub struct Layer {
    pub name: String,
    pub inputs: u32,
    pub outputs: u32,
}

pub struct RequestContext {
    pub tokens: Vec<String>,
    pub refusal: Option<Refusal>,
    pub reloaded: Option<Result<(), String>>,
    pub may_block: bool,
}

pub struct Refusal {
    pub path: String,
    pub modified: Instant,
    pub detail: String,
    pub at: Instant,
}

pub struct Request {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub body: Body,
}

pub enum Body {
    Complete(Vec<u8>),
    OverLimit,
}

pub enum Outcome {
    Respond(Response),
    Reload,
    Long,
    Benchmark,
}

pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Vec<u8>,
}

/// A checkpoint in service.
pub(crate) struct Loaded {
    pub actor: Actor,
    pub checkpoint: Checkpoint,
    pub size_bytes: usize,
    /// `checkpoint.modified` as every response repeats it.
    pub modified: String,
}

impl Service {
    pub fn new(config: RouterConfig) -> Self {
        Service { config, loaded: None }
    }

    pub fn load(&mut self, checkpoint: Checkpoint, file: &File, backend: Option<Backend>) -> Result<Policy> {
        let model = Model::read(file, self.config.activation)?;
        let actor = Actor::new(model, self.config.optimised, backend)?;
        let policy = policy(&actor)?;
        let modified = checkpoint.modified.to_rfc3339();
        self.loaded = Some(Loaded { actor, checkpoint, size_bytes: file.bytes.len(), modified });
        Ok(policy)
    }

    pub fn convert(file: &File, activation: Option<Activation>) -> Result<Vec<u8>> {
        Model::read(file, activation).map(Model::export)
    }

    pub fn answer(&mut self, request: &Request, context: &RequestContext) -> Outcome {
        routes::answer(self, request, context).unwrap_or_else(|error| Outcome::Respond(error.into()))
    }

    /// The model that answers, or why none does.
    pub(crate) fn model(&mut self, context: &RequestContext) -> Result<&mut Loaded, Error> {
        match (&mut self.loaded, &context.refusal) {
            (Some(_), Some(refusal)) if self.config.on_refusal == OnRefusal::Fail => {
                Err(Error::LoadFailed(refusal.detail.clone()))
            }
            (Some(loaded), _) => Ok(loaded),
            (None, Some(refusal)) => Err(Error::LoadFailed(refusal.detail.clone())),
            (None, None) => Err(Error::NoModel),
        }
    }
}

fn policy(actor: &Actor) -> Result<Policy> {
    let description = actor.description();
    let layer = |(name, inputs, outputs): &(String, usize, usize)| {
        anyhow::Ok(Layer { name: name.clone(), inputs: u32::try_from(*inputs)?, outputs: u32::try_from(*outputs)? })
    };
    Ok(Policy {
        format: description.format,
        layout: description.layout,
        backend: actor.backend(),
        layers: description.layers.iter().map(layer).collect::<Result<_>>()?,
        activation: description.activation(),
        state_dim: u32::try_from(actor.state_dim())?,
        action_dim: u32::try_from(actor.action_dim())?,
        stochastic: actor.stochastic(),
        action_bounds: actor.squashing().bounds.as_ref().map(|bounds| (bounds.low.clone(), bounds.high.clone())),
        observation_bounds: description.observation_bounds.clone(),
        normalisation: actor.normalisation().cloned(),
    })
}
