//! The actor: a checkpoint's bytes become a policy that answers the /sac/* routes.
//!
//! [`Service`] is the whole of it. Everything but `component`, the WIT glue, compiles and is tested on any target.

mod actor;
mod checkpoint;
#[cfg(target_family = "wasm")]
mod component;
mod contents;
mod dense;
mod error;
mod format;
mod kernel;
mod layout;
mod model;
mod onnx;
mod openapi;
mod policy;
mod routes;
mod runnable;
mod schema;
mod service;
mod settings;
mod tensor;
mod tract;

pub use actor::Plan;
pub use checkpoint::{Checkpoint, Instant};
pub use dense::Activation;
pub use format::File;
pub use policy::Normalisation;
pub use service::{Body, Config, Layer, OnRefusal, Outcome, Policy, Refusal, Request, Response, Service, Situation};
