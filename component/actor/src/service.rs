use anyhow::Result;

use crate::actor::Actor;
use crate::checkpoint::{Checkpoint, Instant};
use crate::error::Error;
use crate::routes;

/// A policy and the routes that it answers: `serving.service` of `wit/serving.wit`, where its types are explained.
pub struct Service {
    pub(crate) config: Config,
    pub(crate) loaded: Option<Loaded>,
}

pub struct Config {
    pub optimised: bool,
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
    pub format: String,
    pub state_dim: u32,
    pub action_dim: u32,
    pub stochastic: bool,
}

pub struct Situation {
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
    pub fn new(config: Config) -> Self {
        Service { config, loaded: None }
    }

    pub fn load(&mut self, checkpoint: Checkpoint, bytes: &[u8]) -> Result<Policy> {
        let actor = Actor::load(bytes, self.config.optimised)?;
        let policy = Policy {
            format: actor.format().to_owned(),
            state_dim: u32::try_from(actor.state_dim())?,
            action_dim: u32::try_from(actor.action_dim())?,
            stochastic: actor.stochastic(),
        };
        let modified = checkpoint.modified.to_rfc3339();
        self.loaded = Some(Loaded { actor, checkpoint, size_bytes: bytes.len(), modified });
        Ok(policy)
    }

    pub fn answer(&mut self, request: &Request, situation: &Situation) -> Outcome {
        routes::answer(self, request, situation).unwrap_or_else(|error| Outcome::Respond(error.into()))
    }

    /// The model that answers, or why none does.
    pub(crate) fn model(&mut self, situation: &Situation) -> Result<&mut Loaded, Error> {
        match (&mut self.loaded, &situation.refusal) {
            (Some(_), Some(refusal)) if self.config.on_refusal == OnRefusal::Fail => {
                Err(Error::LoadFailed(refusal.detail.clone()))
            }
            (Some(loaded), _) => Ok(loaded),
            (None, Some(refusal)) => Err(Error::LoadFailed(refusal.detail.clone())),
            (None, None) => Err(Error::NoModel),
        }
    }
}
