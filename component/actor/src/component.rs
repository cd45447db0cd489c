//! The WIT glue: `wit/serving.wit` on one side, this crate's types on the other.

use std::cell::RefCell;

use crate::{Checkpoint, Config, Instant, OnRefusal, Outcome, Request, Situation};

mod bindings {
    wit_bindgen::generate!({ world: "actor", path: "../../wit" });
    use super::Component;
    export!(Component);
}

use bindings::exports::sac::serving::serving as wit;

struct Component;

impl wit::Guest for Component {
    type Service = Service;
}

/// Calls never overlap, so that the cell is never found borrowed.
struct Service(RefCell<crate::Service>);

impl wit::GuestService for Service {
    fn new(config: wit::Config) -> Self {
        Service(RefCell::new(crate::Service::new(config.into())))
    }

    fn load(&self, checkpoint: wit::Checkpoint, bytes: Vec<u8>) -> Result<wit::Policy, String> {
        match self.0.borrow_mut().load(checkpoint.into(), &bytes) {
            Ok(policy) => Ok(wit::Policy {
                format: policy.format,
                state_dim: policy.state_dim,
                action_dim: policy.action_dim,
                stochastic: policy.stochastic,
            }),
            Err(error) => Err(one_line(&format!("{error:#}"))),
        }
    }

    fn answer(&self, request: wit::Request, situation: wit::Situation) -> wit::Outcome {
        match self.0.borrow_mut().answer(&request.into(), &situation.into()) {
            Outcome::Respond(response) => wit::Outcome::Respond(wit::Response {
                status: response.status,
                headers: response.headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
                body: response.body,
            }),
            Outcome::Reload => wit::Outcome::Reload,
            Outcome::Long => wit::Outcome::Long,
            Outcome::Benchmark => wit::Outcome::Benchmark,
        }
    }
}

/// An error of a library may span lines, and quote the file at length.
fn one_line(error: &str) -> String {
    let words = error.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(500) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

impl From<wit::Config> for Config {
    fn from(config: wit::Config) -> Self {
        Config {
            optimised: config.optimised,
            on_refusal: match config.on_refusal {
                wit::OnRefusal::Keep => OnRefusal::Keep,
                wit::OnRefusal::Fail => OnRefusal::Fail,
            },
            max_batch: config.max_batch,
            max_body_bytes: config.max_body_bytes,
        }
    }
}

impl From<wit::Instant> for Instant {
    fn from(instant: wit::Instant) -> Self {
        Instant { seconds: instant.seconds, nanoseconds: instant.nanoseconds }
    }
}

impl From<wit::Checkpoint> for Checkpoint {
    fn from(checkpoint: wit::Checkpoint) -> Self {
        Checkpoint {
            path: checkpoint.path,
            modified: checkpoint.modified.into(),
            loaded: checkpoint.loaded.into(),
            sha256: checkpoint.sha256,
            generation: checkpoint.generation,
        }
    }
}

impl From<wit::Request> for Request {
    fn from(request: wit::Request) -> Self {
        Request {
            method: request.method,
            path: request.path,
            authorization: request.authorization,
            body: match request.body {
                wit::Body::Complete(bytes) => crate::Body::Complete(bytes),
                wit::Body::OverLimit => crate::Body::OverLimit,
            },
        }
    }
}

impl From<wit::Situation> for Situation {
    fn from(situation: wit::Situation) -> Self {
        Situation {
            tokens: situation.tokens,
            refusal: situation.refusal.map(|refusal| crate::Refusal {
                path: refusal.path,
                modified: refusal.modified.into(),
                detail: refusal.detail,
                at: refusal.at.into(),
            }),
            reloaded: situation.reloaded,
            may_block: situation.may_block,
        }
    }
}
