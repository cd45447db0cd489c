//! `serve --decision-log` and `replay`: recorded decisions are computed again to the last bit.

use std::fs;
use std::path::Path;

use sac_test_support::{card_of, file, publish};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::program::{Signal, ask, predict, run, serve};

/// A log of three policies: an ONNX file, a state_dict with a card, and another under the name of the first.
fn record() -> (TempDir, TempDir, String) {
    let (place, logs) = (tempdir().unwrap(), tempdir().unwrap());
    let log = logs.path().join("decisions.jsonl");
    let mut program = serve(place.path(), &["--dir", ".", "--decision-log", log.to_str().unwrap()], &[]);
    let address = program.address();
    let stochastic = r#"{"states": [[1, 0, 2], [0.5, -0.25, -3]], "deterministic": false}"#;
    let predict = || {
        assert_eq!(predict(address).0, 200);
        assert_eq!(ask(address, "POST", "/sac/predict/batch", "", stochastic).0, 200);
    };
    publish(&place.path().join("model_a.onnx"), &file("pendulum_00500.onnx"));
    predict();
    let bare = place.path().join("model_b.pt");
    publish(&card_of(&bare), &file("pendulum_08000.state_dict.pt.policy.json"));
    publish(&bare, &file("pendulum_08000.state_dict.pt"));
    predict();
    publish(&place.path().join("model_c.onnx"), &file("pendulum_08000.onnx"));
    predict();
    program.signal(Signal::TERM).unwrap();
    // The server writes the lines that wait before it ends.
    assert!(program.end().0.success());
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 6);
    let log = log.to_str().unwrap().to_owned();
    (place, logs, log)
}

fn replay(log: &str, place: &Path) -> (i32, Value, String) {
    let (code, report, log) = run(&["replay", log, "--root", place.to_str().unwrap(), "--json"], &[]);
    (code, serde_json::from_str(&report).unwrap_or_default(), log)
}

#[test]
fn recorded_decisions_are_the_same_again_wherever_their_checkpoints_are_now() {
    let (place, logs, log) = record();
    fs::create_dir(place.path().join("archive")).unwrap();
    for name in ["model_a.onnx", "model_b.pt", "model_b.pt.policy.json"] {
        let archived = name.replace("model_b", "best");
        fs::rename(place.path().join(name), place.path().join("archive").join(archived)).unwrap();
    }
    let (code, report, errors) = replay(&log, place.path());
    assert_eq!((code, &report["decisions"], &report["same"]), (0, &6.into(), &6.into()), "{report} {errors}");
    let (code, shown, _) = run(&["replay", &log, "--dir", place.path().to_str().unwrap()], &[]);
    assert!(code == 0 && shown.contains("same                  6"), "{shown}");
    drop(logs);
}

#[test]
fn an_altered_action_is_found() {
    let (place, _logs, log) = record();
    let text = fs::read_to_string(&log).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    let action = lines[3]["actions"][1][0].as_f64().unwrap() as f32;
    lines[3]["actions"][1][0] = f32::from_bits(action.to_bits() + 1).into();
    fs::write(&log, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let (code, report, errors) = replay(&log, place.path());
    assert_eq!((code, &report["same"], &report["different"]), (1, &5.into(), &1.into()), "{report}");
    assert!(report["listed"][0]["line"].as_str().unwrap().ends_with("decisions.jsonl:4"), "{report}");
    assert!(
        report["listed"][0]["reason"].as_str().unwrap().starts_with("1 of 2 numbers differ, by at most"),
        "{report}"
    );
    assert!(errors.contains("1 of 6 decisions are not computed the same"), "{errors}");
}

#[test]
fn decisions_that_cannot_be_computed_again_are_counted_by_their_reason() {
    let (place, _logs, log) = record();
    fs::remove_file(place.path().join("model_a.onnx")).unwrap();
    // Another activation is another policy.
    let card = place.path().join("model_b.pt.policy.json");
    let other = fs::read_to_string(&card).unwrap().replace("relu", "tanh");
    fs::write(&card, other).unwrap();
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, &text[..text.len() - 40]).unwrap();
    let (code, report, _) = replay(&log, place.path());
    let missing = report["missing"].as_object().unwrap().values().collect::<Vec<_>>();
    assert_eq!((code, missing, &report["failed"]), (1, vec![&Value::from(2)], &2.into()), "{report}");
    assert_eq!((&report["cut"], &report["same"]), (&1.into(), &1.into()), "{report}");
    fs::write(&log, "no decision\n").unwrap();
    assert_eq!(replay(&log, place.path()).1["unreadable"], 1);
    fs::write(&log, "").unwrap();
    let (code, _, errors) = replay(&log, place.path());
    assert!(code == 1 && errors.contains("the logs hold no decision"), "{errors}");
    let (code, _, errors) = run(&["replay", "no-such-log", "--root", "."], &[]);
    assert!(code == 1 && errors.contains("no-such-log: there is no such log"), "{errors}");
}

#[test]
fn a_log_in_a_folder_of_checkpoints_is_refused() {
    let place = tempdir().unwrap();
    let (status, log) = serve(place.path(), &["--dir", ".", "--decision-log", "decisions.jsonl"], &[]).end();
    assert!(!status.success() && log.contains("a folder of checkpoints: name another"), "{log}");
}
