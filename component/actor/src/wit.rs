//! The types of `wit/serving.wit`, generated on every target, so that the contract has no second copy in Rust.
//!
//! The module contains no code of its own. Off wasm the generated exports are unused and the imports that belong to
//! them are stubs; the types are plain Rust, and the native tests use them as the component does.

#[allow(missing_docs, reason = "the contract documents its types; some of their fields speak for themselves")]
pub(crate) mod bindings {
    wit_bindgen::generate!({
        world: "actor",
        path: "../../wit",
        additional_derives: [PartialEq],
        default_bindings_module: "crate::wit::bindings",
    });
}

#[cfg(target_family = "wasm")]
pub(crate) use bindings::export;
pub use bindings::exports::sac::serving::serving::{
    Activation, Backend, Batch, Body, Bounds, Checkpoint, Decision, Fact, File, Hidden, Instant, Layer, Linear,
    Network, Normalisation, OnRefusal, OperatorFacts, Outcome, Outputs as RowOutputs, Policy, Refusal, Request,
    RequestContext, Response, RouterConfig, Sidecar, SidecarKind,
};
#[cfg(target_family = "wasm")]
pub use bindings::exports::sac::serving::serving::{Guest, GuestService};
