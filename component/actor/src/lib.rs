//! The actor: a checkpoint's bytes become a policy that answers the /sac/* routes.
//!
//! [`Service`] is the whole of it. Everything but `wit`, the WIT glue, compiles and is tested on any target.

mod checkpoint;
mod file;
mod layout;
mod model;
mod onnx;
mod routes;
mod run;
mod service;
#[cfg(target_family = "wasm")]
mod wit;

pub use checkpoint::{Checkpoint, Instant};
pub use file::File;
pub use model::mlp::Activation;
pub use model::policy::Normalisation;
pub use run::Backend;
pub use service::{
    Body, Layer, OnRefusal, Outcome, Policy, Refusal, Request, RequestContext, Response, RouterConfig, Service,
};
