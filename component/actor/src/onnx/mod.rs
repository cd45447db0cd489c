//! Reads, recognises and writes ONNX graphs. The only folder beside `run/tract` that names tract.
//!
//! [`select`] finds the input and the outputs of a policy and gives them one kind of names: the input is `state`,
//! [batch, state_dim] of f32, and the outputs are `mean` and `log_std`, or `action` alone, [batch, action_dim] of f32.
//! Everything after it relies on these names.

mod blueprint;
pub mod build;
mod canonical;
mod export;
mod external;
#[cfg(test)]
pub mod fixtures;
mod flow;
mod interface;
mod names;
mod network;
mod operators;
mod read;
mod recognise;
mod rename;
#[cfg(test)]
mod tests;

pub use blueprint::Blueprint;
pub use export::export;
pub use interface::{IS_RECURRENT, Interface, NamedBy, Names, Rows, select};
pub use network::Network;
pub use read::{metadata, read};
pub use recognise::{Recognised, recognise};
