//! The decisions that every owner of a checkpoint folder makes alike: which file serves, whether it is new, and what the
//! settings are. An owner is a program that serves a policy: the host, or the Spin gateway. This crate knows neither
//! HTTP, nor the component, nor command lines.
//!
//! [`Source`] lists the candidates. [`Freshness`] judges on each request whether they differ from the one in service, and
//! reads those that do. A [`SingleFile`] is watched in the same way, without anything that is particular to checkpoints.
#![deny(missing_docs)]

mod candidates;
mod environment;
mod policies;
pub mod settings;
mod text;
mod watch;
mod wit;

pub use candidates::{
    Absence, Candidate, CheckpointError, Content, Limits, PromotionError, Remedy, SelectionError, Sidecar, SidecarKind,
    Source, similar_folder,
};
pub use environment::{Environment, EnvironmentError};
pub use policies::{Address, Policies, PolicyState, REFUSALS, Root, State, is_open_inference};
pub use text::{one_line, path_line, shell_word};
pub use watch::{
    Failure, FileKind, FileState, Found, Freshness, Identify, Identity, Judgement, ReadError, Refused, Renewal,
    RenewalError, Seen, SingleFile, Watch, may_pass, resolve, since_epoch,
};
