//! The actor: a checkpoint's bytes become a policy that answers the /sac/* routes.
//!
//! [`Service`] is the whole of it. Everything but `component`, the WIT glue, compiles and is tested on any target.

mod actor;
mod checkpoint;
#[cfg(target_family = "wasm")]
mod component;
mod error;
mod onnx;
mod plan;
mod policy;
mod routes;
mod schema;
mod service;

pub use checkpoint::{Checkpoint, Instant};
pub use service::{Body, Config, OnRefusal, Outcome, Policy, Refusal, Request, Response, Service, Situation};
