//! The checkpoint in service.

use std::time::Instant;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::benchmark::Measurement;
use super::digest::Digest;
use super::inference::Tensors;
use super::sampling::Sampling;
use crate::run::Actor;
use crate::wit::Checkpoint;

/// A checkpoint in service: its actor, and what responses repeat of its file.
pub struct Loaded {
    pub actor: Actor,
    pub checkpoint: Checkpoint,
    pub size_bytes: usize,
    pub digest: Digest,
    /// `checkpoint.modified` as responses write it, formatted once.
    pub modified: String,
    /// `checkpoint.generation` as paths and responses write it, formatted once.
    pub version: String,
    /// The batch that the owner computes in parts.
    pub split: Option<Split>,
}

/// A request for a batch, between its reading and its answer.
pub struct Split {
    pub rows: usize,
    /// The states, if the owner wants the decision.
    pub states: Option<Vec<f32>>,
    pub sampling: Sampling,
    pub start: Instant,
    pub reply: Reply,
}

/// The form of the answer to a batch.
pub enum Reply {
    /// That of /sac/predict/batch.
    Actions,
    /// That of an inference request.
    Tensors(Tensors),
    /// That of /sac/benchmark, after as many passes as it asks for.
    Report(Measurement),
}

impl Loaded {
    /// `bytes` are those of the whole file.
    pub fn new(actor: Actor, mut checkpoint: Checkpoint, bytes: Bytes) -> Self {
        let (size_bytes, digest) = (bytes.len(), Digest::new(checkpoint.sha256.take(), bytes));
        let (modified, version) = (checkpoint.modified.to_rfc3339(), checkpoint.generation.to_string());
        Loaded { actor, checkpoint, size_bytes, digest, modified, version, split: None }
    }
}

/// The checkpoint that an answer comes from.
#[derive(Serialize, JsonSchema)]
pub struct Origin<'a> {
    model_path: &'a str,
    #[schemars(extend("format" = "date-time"))]
    model_mtime_utc: &'a str,
    jit_compiled: bool,
}

impl<'a> From<&'a Loaded> for Origin<'a> {
    fn from(loaded: &'a Loaded) -> Self {
        Origin {
            model_path: &loaded.checkpoint.path,
            model_mtime_utc: &loaded.modified,
            jit_compiled: loaded.actor.optimised(),
        }
    }
}
