//! A request on its way through a route, and the helpers that routes share.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::Error;
use super::loaded::Loaded;
use super::openapi::Documents;
use super::sampling::Sampling;
use super::schema::{self, Schema};
use crate::model::Forward;
use crate::run::Actor;
use crate::wit::{Backend, OnRefusal, Outcome, RequestContext, Response, RouterConfig};

/// A request that has found its route.
pub struct Call<'a> {
    pub config: &'a RouterConfig,
    pub loaded: &'a mut Option<Loaded>,
    pub documents: &'a mut Documents,
    pub body: &'a [u8],
    /// The value of the Inference-Header-Content-Length header.
    pub inference_header_content_length: Option<&'a str>,
    pub context: &'a RequestContext,
    /// False only on public routes.
    pub authorised: bool,
}

impl Call<'_> {
    /// The longest time that a call may take unless it may block.
    const LONG: Duration = Duration::from_millis(1);
    /// The time of a forward pass from which it is worth the way to the owner and back, which takes a microsecond or two.
    const SPLIT: Duration = Duration::from_micros(30);
    /// The size of a JSON body, in bytes, that takes as long to parse.
    const LONG_BODY: usize = 256 << 10;

    /// Parses the body, or returns the error for a 422.
    pub fn parse<T: Schema>(&self) -> Result<T, Error> {
        schema::parse(self.body).map_err(Error::Invalid)
    }

    /// Returns the checkpoint that answers, or the reason why none does.
    pub fn model(&mut self) -> Result<&mut Loaded, Error> {
        match (self.loaded.as_mut(), &self.context.refusal) {
            (Some(_), Some(refusal)) if self.config.on_refusal == OnRefusal::Fail => {
                Err(Error::LoadFailed(refusal.detail.clone()))
            }
            (Some(loaded), _) => Ok(loaded),
            (None, Some(refusal)) => Err(Error::LoadFailed(refusal.detail.clone())),
            (None, None) => Err(Error::NoModel),
        }
    }

    /// Returns the way in which actions are drawn, and checks that the policy can be sampled, if it is to be.
    pub fn sampling(&mut self, deterministic: bool, seed: Option<u64>) -> Result<Sampling, Error> {
        let sampling = Sampling { deterministic, seed };
        sampling.check(&self.model()?.actor)?;
        if self.context.wants_decision { sampling.on_record() } else { Ok(sampling) }
    }

    /// Returns `true` if the body takes too long to parse here.
    pub fn has_long_body(&self) -> bool {
        self.is_long_to_parse(self.body.len())
    }

    /// Returns `true` if so many bytes of JSON take too long to parse here.
    pub fn is_long_to_parse(&self, bytes: usize) -> bool {
        !self.context.may_block && bytes > Self::LONG_BODY
    }

    /// Returns `true` if a forward pass of so many rows takes too long here.
    pub fn is_long(&mut self, rows: usize) -> Result<bool, Error> {
        let may_block = self.context.may_block;
        Ok(!may_block && self.model()?.actor.expected_time(rows) > Self::LONG)
    }

    /// Returns `true` if a forward pass of so many rows gains by being computed in parts.
    pub fn is_worth_splitting(&mut self, rows: usize) -> Result<bool, Error> {
        let splits = self.config.splits;
        let actor = &self.model()?.actor;
        // A graph on tract may take any time for a row.
        Ok(splits && actor.backend() == Backend::Kernel && actor.expected_time(rows) > Self::SPLIT)
    }
}

/// Makes a JSON response.
pub fn respond(status: u16, body: &impl Serialize) -> Result<Outcome, Error> {
    let body = serde_json::to_vec(body).map_err(|error| Error::Inference(error.into()))?;
    Ok(Outcome::Respond(Response { status, headers: vec![], body, decision: None }))
}

/// Runs the network; an error of a backend becomes a 500.
pub fn forward(actor: &mut Actor, states: &[f32], log_std: bool) -> Result<Forward, Error> {
    actor.forward(states, log_std).map_err(Error::Inference)
}

/// Returns the milliseconds since `start`, to the nanosecond.
pub fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / 1e6
}
