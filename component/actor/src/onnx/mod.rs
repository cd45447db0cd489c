//! Reads, recognises and writes ONNX graphs. The only folder beside `run/tract` that names tract.
//!
//! The graph of a policy has the input `state`, [batch, state_dim] of f32, and the outputs `mean` and `log_std`, or
//! `action` alone, [batch, action_dim] of f32.

pub mod build;
mod export;
mod network;
mod read;
mod recognise;

pub use build::model;
pub use export::export;
pub use network::Network;
pub use read::{layers, metadata, read};
pub use recognise::{Recognised, recognise};
