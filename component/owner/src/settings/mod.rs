//! The settings that every owner has: the names of their variables, their values, defaults and limits. This module reads
//! no environment and parses no command line.

mod action_bounds;
mod activation;
mod bytes;
mod default_policy;
pub mod defaults;
mod model_name;
mod named;
mod on_bad_checkpoint;
mod patterns;
mod value;
pub mod variables;

pub use action_bounds::{ActionBounds, InvalidActionBounds};
pub use activation::Activation;
pub use bytes::{NotBytes, bytes};
pub use default_policy::{DefaultPolicy, InvalidDefaultPolicy};
pub use model_name::{InvalidModelName, ModelName};
pub use named::UnknownName;
pub use on_bad_checkpoint::OnBadCheckpoint;
pub use patterns::{EXTENSIONS, InvalidPattern, Patterns};
pub use value::{NotBoolean, boolean, is_blank};

/// The largest size of a card, in bytes. Other sidecars share the limit of the checkpoint.
pub const MAX_CARD_BYTES: u64 = 1 << 20;
/// The number of bytes of an oversized body that an owner reads and drops. A client that is still sending would not see
/// the response if the owner closed the connection.
pub const DRAIN_BYTES: usize = 16 << 20;
