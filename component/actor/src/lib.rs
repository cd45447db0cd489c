//! The actor: turns a checkpoint's bytes into a policy that answers the routes below /sac and /v2.
//!
//! [`Service`] is the whole interface. The crate reaches no file, no network and no environment variable; its owner hands
//! it bytes. All of it but the component's export compiles and is tested on any target.
#![deny(missing_docs)]

mod card;
#[cfg(target_family = "wasm")]
mod component;
mod file;
mod layout;
mod load;
mod model;
mod one_line;
mod onnx;
mod program;
mod resolve;
mod routes;
mod run;
mod service;
mod wit;

pub use service::Service;
pub use wit::{
    Activation, Backend, Batch, Body, Bounds, Checkpoint, Decision, Fact, File, Hidden, Instant, Layer, Linear,
    Network, Normalisation, OnRefusal, OperatorFacts, Outcome, Policy, Refusal, Request, RequestContext, Response,
    RouterConfig, RowOutputs, Sidecar, SidecarKind,
};
