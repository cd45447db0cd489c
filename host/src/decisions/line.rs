//! A line of the log.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::sandbox::bindings::Decision;
use crate::swap::generation::Loaded;
use crate::swap::history::utc;

/// A decision: the actions of one response, and all that they were computed from.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
pub(super) struct Line {
    pub(super) time: String,
    /// The name of a policy of a root. `None` for that of another folder or file.
    pub(super) policy: Option<String>,
    pub(super) generation: u64,
    /// The path of the checkpoint.
    pub(super) checkpoint: String,
    pub(super) sha256: String,
    /// The files beside it that count: its card, its statistics, its external data.
    pub(super) sidecars: Vec<SidecarDigest>,
    /// "kernel" or "tract".
    pub(super) backend: String,
    /// The seed of the draws. `None` for deterministic actions.
    pub(super) seed: Option<u64>,
    /// The states, as f32. The shortest decimals that are read as the same f32.
    pub(super) states: Vec<Vec<f32>>,
    /// The actions, likewise.
    pub(super) actions: Vec<Vec<f32>>,
}

/// The sha256 of a file beside a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SidecarDigest {
    pub(super) name: String,
    pub(super) sha256: String,
}

/// The checkpoint that decides, without its bytes: a decision that waits must not keep those of an earlier generation.
#[derive(Debug)]
pub(crate) struct Author {
    generation: u64,
    checkpoint: String,
    sha256: String,
    sidecars: Vec<SidecarDigest>,
    backend: &'static str,
    state_dim: u32,
    action_dim: u32,
}

impl Author {
    pub(crate) fn new(generation: u64, Loaded { content, policy }: &Loaded) -> Self {
        Author {
            generation,
            checkpoint: content.path.to_string_lossy().into_owned(),
            sha256: content.sha256().to_owned(),
            sidecars: digests(content),
            backend: policy.backend.name(),
            state_dim: policy.state_dim,
            action_dim: policy.action_dim,
        }
    }
}

impl Line {
    pub(super) fn new(time: SystemTime, policy: Option<&str>, author: &Author, decision: &Decision) -> Self {
        let rows = |numbers: &[f32], length: u32| {
            numbers.chunks(length.max(1) as usize).map(<[f32]>::to_vec).collect::<Vec<_>>()
        };
        Line {
            time: utc(time),
            policy: policy.map(str::to_owned),
            generation: author.generation,
            checkpoint: author.checkpoint.clone(),
            sha256: author.sha256.clone(),
            sidecars: author.sidecars.clone(),
            backend: author.backend.to_owned(),
            seed: decision.seed,
            states: rows(&decision.states, author.state_dim),
            actions: rows(&decision.actions, author.action_dim),
        }
    }
}

/// Returns the digests of the files beside a checkpoint, in their order.
pub(super) fn digests(content: &sac_owner::Content) -> Vec<SidecarDigest> {
    let sidecars = content.sidecars.iter();
    sidecars.map(|sidecar| SidecarDigest { name: sidecar.name.clone(), sha256: sidecar.sha256().to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudo-random bits, by a linear congruential generator of Knuth's.
    fn floats() -> impl Iterator<Item = f32> {
        let bits = std::iter::successors(Some(1u64), |bits| {
            Some(bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
        });
        bits.map(|bits| f32::from_bits((bits >> 32) as u32)).filter(|float| float.is_finite())
    }

    #[test]
    fn numbers_are_read_with_the_bits_that_they_were_written_with() {
        let special = [0.0, -0.0, f32::MIN_POSITIVE, f32::MAX, f32::MIN, f32::from_bits(1), 0.1, 1e-45];
        let numbers = special.into_iter().chain(floats().take(300_000)).collect::<Vec<_>>();
        let line = Line {
            time: utc(SystemTime::UNIX_EPOCH),
            policy: Some("a".to_owned()),
            generation: u64::MAX,
            checkpoint: "/a\n\"b".to_owned(),
            sha256: "0".repeat(64),
            sidecars: vec![SidecarDigest { name: "c".to_owned(), sha256: "1".repeat(64) }],
            backend: "kernel".to_owned(),
            seed: Some(u64::MAX),
            states: vec![numbers.clone()],
            actions: vec![numbers.clone()],
        };
        let text = serde_json::to_string(&line).unwrap();
        assert!(!text.contains('\n'));
        let read = serde_json::from_str::<Line>(&text).unwrap();
        let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
        assert!(bits(&read.states[0]) == bits(&numbers) && read == line);
    }
}
