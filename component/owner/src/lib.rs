//! Which checkpoint serves, and is it new: what every owner of a checkpoint folder decides alike.
//!
//! [`Source`] lists the candidates, `listing` keeps them from request to request, `read` reads one whole and
//! unchanged, and [`Freshness`] judges on each request whether what is in service is still what should be.

mod digest;
mod environment;
mod freshness;
mod identity;
mod listing;
mod names;
mod read;
mod seen;
pub mod settings;
mod source;

pub use environment::{Environment, EnvironmentError};
pub use freshness::{Freshness, Judgement, Refused, Renewal};
pub use identity::{Identity, since_epoch};
pub use read::{Content, ReadError};
pub use source::{Candidate, Limits, Source};
