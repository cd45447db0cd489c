//! The policy as mathematics: normalisation of a state, the layers, and squashing of their outputs to an action.
//! Nothing here reads a file or chooses a backend. Numbers and steps that the kernel also has are the kernel's.

mod action_bounds;
mod activation;
mod dimensions;
mod fact;
mod facts;
mod format;
mod forward;
mod linear;
mod log_std;
mod mlp;
mod noise;
mod normalisation;
mod outputs;
mod squashing;

pub use action_bounds::ActionBounds;
pub use dimensions::{check_action_dim, check_fixed, check_state_dim};
pub use fact::{Source, Sourced};
pub use facts::Facts;
pub use format::Format;
pub use forward::Forward;
pub use linear::Linear;
pub use log_std::LogStd;
pub use mlp::{Hidden, LayerNorm, MAX_WEIGHTS, Mlp};
pub use noise::Noise;
pub use outputs::Outputs;
pub use squashing::{Squash, Squashing};

pub use sac_kernel::MeanStep;

pub use crate::wit::{Activation, Bounds, Fact, Layer, Normalisation};
