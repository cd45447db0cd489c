//! `card`: what a checkpoint says and lacks, as a card.

use std::fs;
use std::path::Path;

use sac_test_support::{card_of, file, publish};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::program::{ask, path, predict, run, serve};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Runs `card` for a checkpoint, and returns what it prints.
fn card(checkpoint: &Path, more: &[&str]) -> Value {
    let (code, printed, log) = run(&[&["card", checkpoint.to_str().unwrap()], more].concat(), &[]);
    assert_eq!(code, 0, "{log}");
    if more.contains(&"-o") { Value::Null } else { json_of(&printed) }
}

fn inspect(checkpoint: &Path) -> Value {
    let (code, printed, log) = run(&["inspect", "--json", checkpoint.to_str().unwrap()], &[]);
    assert_eq!(code, 0, "{log}");
    json_of(&printed)
}

#[test]
fn a_card_has_the_facts_of_the_file_and_null_for_those_that_are_missing() {
    let place = tempdir().unwrap();
    let bare = place.path().join("model_a.pt");
    publish(&bare, &file("pendulum_00500.state_dict.pt"));
    let written = card(&bare, &[]);
    assert_eq!((&written["activation"], &written["action_low"]), (&json!(null), &json!([null])), "{written}");
    assert!(written.get("examples").is_none(), "{written}");
    // Flags count.
    let written = card(&bare, &["--activation", "relu", "--action-bounds", "-2:2"]);
    assert_eq!((&written["activation"], &written["action_low"]), (&json!("relu"), &json!([-2.0])));
    assert!(written.get("examples").is_none(), "its own answers would prove nothing: {written}");
    let whole = card(Path::new(&path("pendulum_00500.sb3.zip")), &[]);
    assert_eq!((&whole["activation"], &whole["action_high"]), (&json!("relu"), &json!([2.0])), "{whole}");
    assert!(!whole.to_string().contains("null") && whole.get("normalisation").is_none(), "{whole}");
    // The facts that a graph lacks are in the refusal.
    let graph = card(Path::new(&path("corpus/onnx_readme_default/model_1.onnx")), &[]);
    let expected = json!({
        "kind": "sac", "input": "state", "outputs": ["mean", "log_std"],
        "action_low": [null, null], "action_high": [null, null],
    });
    assert_eq!(graph, expected);
    let (code, _, log) = run(&["card", &path("torch/unknown.pt")], &[]);
    assert!(code == 1 && log.contains("there is no card of "), "{log}");
}

#[test]
fn a_checkpoint_that_serves_serves_with_its_card() {
    for name in [
        "pendulum_00500.sb3.zip",
        "pendulum_00500.cleanrl.pt",
        "pendulum_00500.spinningup.pt",
        "pendulum_00500.onnx",
        "odd/action_only.onnx",
        "sb3/vecnormalize_dict.zip",
        "corpus/d3rlpy_sac_minmax_d3/model.d3",
        "corpus/jit_sb3docs_freeze/jit_traced.pt",
    ] {
        let from = path(name);
        let from = Path::new(&from);
        let place = tempdir().unwrap();
        let checkpoint = place.path().join(from.file_name().unwrap());
        for suffix in ["", ".policy.json", ".vecnormalize.pkl"] {
            let beside = from.with_file_name(format!("{}{suffix}", from.file_name().unwrap().to_str().unwrap()));
            if beside.exists() {
                fs::copy(&beside, place.path().join(beside.file_name().unwrap())).unwrap();
            }
        }
        let before = inspect(&checkpoint);
        let target = card_of(&checkpoint);
        card(&checkpoint, &["-o", target.to_str().unwrap(), "--force"]);
        let after = inspect(&checkpoint);
        assert_eq!(before["action_on_zeros"], after["action_on_zeros"], "{name}");
        // The policy's own answers would prove nothing.
        assert_eq!(after["verified_examples"], before["verified_examples"], "{name}");
    }
}

#[test]
fn a_card_that_is_written_beside_a_checkpoint_in_service_refuses_nothing() {
    let place = tempdir().unwrap();
    let checkpoint = place.path().join("model_500.zip");
    publish(&checkpoint, &file("pendulum_00500.sb3.zip"));
    let mut program = serve(place.path(), &["."], &[]);
    let address = program.address();
    let before = predict(address);
    assert_eq!(before.0, 200, "{}", before.1);
    card(&checkpoint, &["-o", card_of(&checkpoint).to_str().unwrap()]);
    assert_eq!(predict(address).0, 200);
    let (_, info) = ask(address, "GET", "/sac/model/info", "", "");
    let info = json_of(&info);
    assert_eq!(
        (&info["verified_examples"], &info["stale"], &info["generation"]),
        (&json!(0), &json!(false), &json!(2))
    );
}

#[test]
fn force_keeps_what_the_present_card_says_and_replaces_what_is_not_filled_in() {
    let place = tempdir().unwrap();
    let checkpoint = place.path().join("model_a.pt");
    publish(&checkpoint, &file("pendulum_00500.state_dict.pt"));
    let target = card_of(&checkpoint);
    let target = target.to_str().unwrap();
    let force = ["-o", target, "--force"];
    card(&checkpoint, &["-o", target]);
    let (code, _, log) = run(&["card", checkpoint.to_str().unwrap(), "-o", target], &[]);
    assert!(code == 1 && log.contains("exists; --force replaces it"), "{log}");
    // Over its own template.
    let template = fs::read_to_string(target).unwrap();
    card(&checkpoint, &force);
    assert_eq!(fs::read_to_string(target).unwrap(), template);
    // Over one that is filled in by a half.
    let mut half = json_of(&template);
    (half["activation"], half["action_low"]) = (json!("relu"), json!([-2.0]));
    fs::write(target, half.to_string()).unwrap();
    card(&checkpoint, &force);
    assert_eq!(json_of(&fs::read_to_string(target).unwrap()), half);
    // Over one that is complete.
    half["action_high"] = json!([2.0]);
    half["examples"] = json!([{ "state": [null, null, null], "action": [null] }]);
    fs::write(target, half.to_string()).unwrap();
    card(&checkpoint, &force);
    let mut written = json_of(&fs::read_to_string(target).unwrap());
    assert_eq!((&written["activation"], &written["action_low"]), (&json!("relu"), &json!([-2.0])), "{written}");
    // The examples of a trainer stay.
    let zeros = inspect(&checkpoint)["action_on_zeros"].clone();
    written["examples"] = json!([{ "state": [0.0, 0.0, 0.0], "action": zeros }]);
    fs::write(target, written.to_string()).unwrap();
    card(&checkpoint, &force);
    assert_eq!(json_of(&fs::read_to_string(target).unwrap()), written);
    assert_eq!(inspect(&checkpoint)["verified_examples"], 1);
}

#[test]
fn the_card_of_a_folder_has_nothing_of_one_checkpoint() {
    let place = tempdir().unwrap();
    let beside = |name: &str| place.path().join(name);
    let checkpoint = beside("model_a.zip");
    for suffix in [".vecnormalize.pkl", ""] {
        publish(&beside(&format!("model_a.zip{suffix}")), &file(&format!("sb3/vecnormalize_bounded.zip{suffix}")));
    }
    let written = |name: &str| {
        card(&checkpoint, &["-o", beside(name).to_str().unwrap()]);
        json_of(&fs::read_to_string(beside(name)).unwrap())
    };
    // The second is written beside the first, which has them.
    let (own, folders) = (written("model_a.zip.policy.json"), written("policy.json"));
    for key in ["obs_mean", "obs_std", "clip_obs"] {
        assert!(own.get(key).is_some() && folders.get(key).is_none(), "{key}: {own} {folders}");
    }
    assert_eq!(folders["activation"], "relu");
    inspect(&checkpoint);
}
