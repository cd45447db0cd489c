//! The WIT glue: `wit/serving.wit` on one side, this crate's types on the other.

use std::cell::RefCell;

use crate::{
    Activation, Backend, Checkpoint, File, Instant, OnRefusal, Outcome, Request, RequestContext, RouterConfig,
};

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
    fn new(config: wit::RouterConfig) -> Self {
        Service(RefCell::new(crate::Service::new(config.into())))
    }

    fn load(
        &self,
        checkpoint: wit::Checkpoint,
        file: wit::File,
        backend: Option<wit::Backend>,
    ) -> Result<wit::Policy, String> {
        let loaded = self.0.borrow_mut().load(checkpoint.into(), &file.into(), backend.map(Into::into));
        loaded.map(Into::into).map_err(|error| one_line(&format!("{error:#}")))
    }

    fn convert(file: wit::File, activation: Option<wit::Activation>) -> Result<Vec<u8>, String> {
        let converted = crate::Service::convert(&file.into(), activation.map(Into::into));
        converted.map_err(|error| one_line(&format!("{error:#}")))
    }

    fn answer(&self, request: wit::Request, context: wit::RequestContext) -> wit::Outcome {
        match self.0.borrow_mut().answer(&request.into(), &context.into()) {
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
    match words.char_indices().nth(2000) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

impl From<wit::RouterConfig> for RouterConfig {
    fn from(config: wit::RouterConfig) -> Self {
        RouterConfig {
            optimised: config.optimised,
            activation: config.activation.map(Into::into),
            on_refusal: match config.on_refusal {
                wit::OnRefusal::Keep => OnRefusal::Keep,
                wit::OnRefusal::Fail => OnRefusal::Fail,
            },
            max_batch: config.max_batch,
            max_body_bytes: config.max_body_bytes,
        }
    }
}

impl From<wit::Activation> for Activation {
    fn from(activation: wit::Activation) -> Self {
        match activation {
            wit::Activation::Relu => Activation::Relu,
            wit::Activation::LeakyRelu => Activation::LeakyRelu,
            wit::Activation::Elu => Activation::Elu,
            wit::Activation::Silu => Activation::Silu,
            wit::Activation::Gelu => Activation::Gelu,
            wit::Activation::Tanh => Activation::Tanh,
            wit::Activation::Sigmoid => Activation::Sigmoid,
        }
    }
}

impl From<wit::File> for File {
    fn from(file: wit::File) -> Self {
        File { bytes: file.bytes.into(), vecnormalize: file.vecnormalize.map(Into::into) }
    }
}

impl From<crate::Policy> for wit::Policy {
    fn from(policy: crate::Policy) -> Self {
        let bounds = |bounds: Option<(Vec<f64>, Vec<f64>)>| bounds.map(|(low, high)| wit::Bounds { low, high });
        let layer = |crate::Layer { name, inputs, outputs }| wit::Layer { name, inputs, outputs };
        let normalisation = |crate::Normalisation { mean, std, clip }| wit::Normalisation { mean, std, clip };
        wit::Policy {
            format: policy.format.to_owned(),
            layout: policy.layout.to_owned(),
            backend: policy.backend.into(),
            layers: policy.layers.into_iter().map(layer).collect(),
            activation: policy.activation,
            state_dim: policy.state_dim,
            action_dim: policy.action_dim,
            stochastic: policy.stochastic,
            action_bounds: bounds(policy.action_bounds),
            observation_bounds: bounds(policy.observation_bounds),
            normalisation: policy.normalisation.map(normalisation),
        }
    }
}

impl From<wit::Backend> for Backend {
    fn from(backend: wit::Backend) -> Self {
        match backend {
            wit::Backend::Kernel => Backend::Kernel,
            wit::Backend::Tract => Backend::Tract,
        }
    }
}

impl From<Backend> for wit::Backend {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Kernel => wit::Backend::Kernel,
            Backend::Tract => wit::Backend::Tract,
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

impl From<wit::RequestContext> for RequestContext {
    fn from(context: wit::RequestContext) -> Self {
        RequestContext {
            tokens: context.tokens,
            refusal: context.refusal.map(|refusal| crate::Refusal {
                path: refusal.path,
                modified: refusal.modified.into(),
                detail: refusal.detail,
                at: refusal.at.into(),
            }),
            reloaded: context.reloaded,
            may_block: context.may_block,
        }
    }
}
