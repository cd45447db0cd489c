//! What the integration tests share: servers to test, a client to ask them, checkpoints to serve.

mod client;
mod composed;
mod data;
mod server;

pub use client::{Answer, Client};
pub use composed::{Manifest, build_components};
pub use data::{Golden, Policy, at, checkpoint, file, odd, publish, set_modified};
pub use server::{Kind, Server, Settings, cache_dir};
