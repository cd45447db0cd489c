//! `inspect`, `convert`, `completions`, `man` and the version.

use std::fs;
use std::process::Stdio;

use sac_test_support::{file, publish};
use serde_json::json;
use tempfile::tempdir;

use crate::program::{self, PROGRAM, path};

fn run(args: &[&str]) -> (bool, String, String) {
    let (code, out, err) = program::run(args, &[]);
    (code == 0, out, err)
}

#[test]
fn inspect_shows_what_is_in_a_file_or_why_it_is_refused() {
    let (well, shown, _) = run(&["inspect", &path("pendulum_00500.sb3.zip")]);
    for line in [
        "format                stable-baselines3",
        "layers                latent_pi.0 (3 to 64)",
        "actions within        [-2.0] to [2.0]",
        "facts                 ",
        "activation: relu (",
        "verified examples     none",
        "action on zeros       0.158507",
    ] {
        assert!(well && shown.contains(line), "{line}:\n{shown}");
    }
    let (well, shown, _) = run(&["inspect", "--json", &path("pendulum_00500.state_dict.pt")]);
    let shown = serde_json::from_str::<serde_json::Value>(&shown).unwrap();
    assert!(well && shown["activation"] == "relu" && shown["layers"][1]["outputs"] == 64, "{shown}");
    let fact = |name: &str| shown["facts"].as_array().unwrap().iter().find(|fact| fact["name"] == name).unwrap();
    assert_eq!((&fact("activation")["value"], &shown["verified_examples"]), (&json!("relu"), &json!(0)));
    assert!(fact("action_bounds")["source"].as_str().unwrap().contains("card"), "{shown}");
    let folder = tempdir().unwrap();
    let bare = folder.path().join("model_a.pt");
    publish(&bare, &file("pendulum_00500.state_dict.pt"));
    let bare = bare.to_str().unwrap();
    let (well, _, log) = run(&["inspect", bare]);
    assert!(!well && log.contains("activation"), "{log}");
    let (well, shown, log) = run(&["inspect", "--activation", "tanh", "--action-bounds", "-2:2", bare]);
    assert!(well && shown.contains("activation: tanh (") && shown.contains("[-2.0] to [2.0]"), "{shown}{log}");

    let (well, shown, log) = run(&["inspect", &path("torch/executes.pt")]);
    assert!(!well && shown.is_empty() && log.contains("the file holds no tensors"), "{shown}{log}");
    let (well, shown, _) = run(&["inspect", "--json", &path("torch/executes.pt")]);
    assert!(!well && shown.contains("\"refused\": \"the file holds no tensors"), "{shown}");
    let (well, _, log) = run(&["inspect", "no-such-file"]);
    assert!(!well && log.contains("no-such-file: there is no such file"), "{log}");
    // JSON says the same as the log.
    let empty = tempdir().unwrap();
    for missing in [empty.path().to_str().unwrap(), "no-such-file"] {
        let (well, shown, log) = run(&["inspect", "--json", missing]);
        let shown = serde_json::from_str::<serde_json::Value>(&shown).unwrap();
        assert!(!well && log.trim() == format!("error: {}", shown["refused"].as_str().unwrap()), "{shown} {log}");
    }
}

#[test]
fn convert_writes_an_onnx_file_of_the_same_policy() {
    let folder = tempdir().unwrap();
    let converted = folder.path().join("policy.onnx");
    let target = converted.to_str().unwrap();
    let (well, _, log) = run(&["convert", &path("pendulum_00500.cleanrl.pt"), "-o", target]);
    assert!(well, "{log}");
    let action = |file: &str| {
        let (_, shown, _) = run(&["inspect", "--json", file]);
        serde_json::from_str::<serde_json::Value>(&shown).unwrap()
    };
    let (before, after) = (action(&path("pendulum_00500.cleanrl.pt")), action(target));
    assert_eq!(after["format"], "onnx");
    for same in ["action_low", "action_high", "action_on_zeros", "layers"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    fs::write(&converted, "kept").unwrap();
    let (well, _, log) = run(&["convert", &path("pendulum_00500.cleanrl.pt"), "-o", target]);
    assert!(!well && log.contains("exists; --force replaces it"), "{log}");
    let (well, _, log) = run(&["convert", &path("torch/unknown.pt"), "-o", target, "--force"]);
    assert!(!well && log.contains("is refused: no known layout of an actor"), "{log}");
    assert_eq!(fs::read_to_string(&converted).unwrap(), "kept", "a refusal leaves what is there");
    assert!(run(&["convert", &path("pendulum_00500.cleanrl.pt"), "-o", target, "--force"]).0);
    assert!(fs::metadata(&converted).unwrap().len() > 1000);
}

#[test]
fn every_command_is_in_the_completions_and_has_a_manual() {
    let (well, completions, _) = run(&["completions", "bash"]);
    let (_, manual, _) = run(&["man"]);
    for command in ["serve", "inspect", "card", "convert", "predict", "bench", "demo", "config", "completions", "man"] {
        assert!(well && completions.contains(&format!("sac__serving,{command})")), "{command}");
        assert!(manual.contains(&format!("sac\\-serving\\-{command}(1)")), "{command}: {manual}");
    }
    for full in [&["completions", "bash"][..], &["man"]] {
        let nowhere = std::fs::File::create("/dev/full").unwrap();
        let status = std::process::Command::new(PROGRAM).args(full).stdout(nowhere).stderr(Stdio::null()).status();
        assert_eq!(status.unwrap().code(), Some(1), "{full:?}");
        // `head` closes its input like this.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = std::process::Command::new(PROGRAM).args(full).stdout(writer).output().unwrap();
        assert_eq!((closed.status.code(), &*closed.stderr), (Some(141), &b""[..]), "{full:?}");
    }
    let (well, manual, _) = run(&["man", "serve"]);
    assert!(well && manual.contains("max\\-batch"), "{manual}");
    let (well, _, log) = run(&["man", "no-such-command"]);
    assert!(!well && log.contains("there is no command no-such-command"), "{log}");
}

#[test]
fn the_version_names_the_component() {
    let digest = concat!("component sha256 ", env!("SAC_ACTOR_SHA256"));
    let (well, version, _) = run(&["--version"]);
    assert!(well && version.starts_with("sac-serving 0.1.0\n") && version.contains(digest), "{version}");
    assert_eq!(run(&["-V"]).1, "sac-serving 0.1.0\n");
}
