//! A card beside a state_dict that says nothing of itself, and beside a graph.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sac_actor::{Sidecar, SidecarKind};
use sac_actor_fuzz::{beside, check, install, no_facts};

const CHECKPOINTS: [&[u8]; 2] = [
    include_bytes!("../../../../tests/data/torch/layer_order.pt"),
    include_bytes!("../../../../tests/data/odd/only_mean.onnx"),
];

fuzz_target!(init: install(), |input: &[u8]| {
    for checkpoint in CHECKPOINTS {
        let card = Sidecar { kind: SidecarKind::Card, name: "c.policy.json".into(), bytes: input.to_vec() };
        check(&beside(checkpoint, card), &no_facts());
    }
});
