//! A network of `nn.Sequential` is served as PyTorch computes it, or refused: no module of it is left out.
//! `tests/data/make_sequential.py` wrote the files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Actor, NOTHING};
use sac_actor::{File, Sidecar, SidecarKind};
use serde_json::{Value, json};

fn load(name: &str, mut card: Value, examples: bool) -> Result<Actor, String> {
    if examples {
        let pairs = expected(name).into_iter().map(|(state, action)| json!({"state": state, "action": action}));
        card["examples"] = pairs.collect();
    }
    let bytes = card.to_string().into_bytes();
    let card = Sidecar { kind: SidecarKind::Card, name: "FILE.policy.json".into(), bytes };
    let bytes = sac_test_support::file(&format!("sequential/{name}.pt"));
    Actor::load(File { bytes, sidecars: vec![card] }, NOTHING)
}

fn expected(name: &str) -> Vec<(Vec<f64>, Vec<f64>)> {
    let all = serde_json::from_slice::<Value>(&sac_test_support::file("sequential/expected.json")).unwrap();
    let rows = |part: &str| serde_json::from_value::<Vec<Vec<f64>>>(all[name][part].clone()).unwrap();
    rows("states").into_iter().zip(rows("actions")).collect()
}

fn assert_acts(name: &str, mut actor: Actor) {
    for (state, expected) in expected(name) {
        let found = actor.act(&state).unwrap();
        let is_near = found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-5);
        assert!(is_near, "{name}: {found:?}, PyTorch gives {expected:?}");
    }
}

/// Every fact that a card can state of these networks.
fn card() -> Value {
    json!({"activation": "relu", "squash": "tanh", "kind": "deterministic", "action_bounds": "unit"})
}

#[test]
fn a_network_of_layers_and_normalisations_that_was_saved_whole_gives_the_actions_of_pytorch() {
    for name in ["plain", "layer_norm", "batch_norm"] {
        let bounds = json!({"action_bounds": "unit", "kind": "deterministic"});
        assert_acts(name, load(name, bounds, false).unwrap_or_else(|error| panic!("{name}: {error}")));
    }
}

#[test]
fn a_module_before_the_first_layer_or_after_the_last_one_is_not_left_out() {
    for (name, reason) in [
        ("activation_before_the_first_layer", "`0` applies tanh to the state"),
        ("two_activations_after_the_last_layer", "both `3` and `4` follow the last layer"),
        ("layer_norm_after_the_last_layer", "3.weight [3]"),
        ("layer_norm_after_the_last_layer.state_dict", "3.weight [3]"),
        ("batch_norm_after_the_last_layer", "3.weight [3]"),
        ("batch_norm_after_the_last_layer.state_dict", "3.weight [3]"),
    ] {
        for examples in [false, true] {
            let refused = load(name, card(), examples).err().unwrap_or_else(|| panic!("{name} is taken"));
            assert!(refused.contains(reason), "{name}: {refused}");
        }
    }
}

#[test]
fn the_epsilon_of_a_batch_normalisation_without_its_class_is_proven_by_examples() {
    let refused = load("batch_norm.state_dict", card(), false).err().unwrap();
    assert!(refused.contains("`1` may be a LayerNorm or another, with any epsilon"), "{refused}");
    assert_acts("batch_norm.state_dict", load("batch_norm.state_dict", card(), true).unwrap());
    let another = load("batch_norm_of_another_epsilon.state_dict", card(), true).err().unwrap();
    assert!(another.contains("does not compute the 4 examples"), "{another}");
}

fn doubled(numbers: &[f64]) -> Vec<f64> {
    numbers.iter().map(|number| 2.0 * number).collect()
}

/// Returns examples whose actions are twice what the network gives.
fn doubled_examples(name: &str, count: usize) -> Value {
    let pairs = expected(name).into_iter().take(count);
    pairs.map(|(state, action)| json!({"state": state, "action": doubled(&action)})).collect()
}

#[test]
fn bounds_take_three_examples_and_fewer_are_not_blamed_on_the_policy() {
    let with =
        |count| load("plain", json!({"kind": "deterministic", "examples": doubled_examples("plain", count)}), false);
    let refused = with(2).err().unwrap();
    assert!(refused.contains("the card has 2 of the 3 examples that determine them"), "{refused}");
    assert_eq!(with(3).map(|mut actor| actor.info()["action_high"].clone()), Ok(json!([2.0, 2.0, 2.0])));
}

#[test]
fn examples_decide_how_many_numbers_an_action_has_where_the_layers_allow_two() {
    let card = json!({"action_low": -2.0, "action_high": 2.0, "examples": doubled_examples("two_outputs", 4)});
    let mut actor = load("two_outputs", card, false).unwrap_or_else(|error| panic!("{error}"));
    for (state, expected) in expected("two_outputs") {
        let found = actor.act(&state).unwrap();
        let is_near = found.iter().zip(doubled(&expected)).all(|(found, expected)| (found - expected).abs() < 1e-5);
        assert!(found.len() == 2 && is_near, "{found:?}, PyTorch gives {expected:?} before it is doubled");
    }
}
