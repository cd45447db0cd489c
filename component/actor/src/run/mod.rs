//! Runs a policy's network, on the kernel or on tract. Nothing here knows files or HTTP.

mod actor;
mod engine;
mod network;
mod tract;

pub use actor::Actor;
pub use engine::compare;
