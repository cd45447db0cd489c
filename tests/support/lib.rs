//! Shared by the tests and the benchmarks of all crates: an HTTP client, a launcher of processes, and checkpoints. It
//! depends on no crate of the workspace, so that any of them can use it.

mod data;
mod http;
mod process;

pub use data::{
    Golden, Policy, at, card, card_of, checkpoint, file, odd, path, publish, publish_named, set_modified, workspace,
};
pub use http::{Answer, Connection, request};
pub use process::{Process, Signal, free_port, memory};
