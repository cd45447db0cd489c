//! A folder without a candidate, as the log and the routes show it.

use std::fs;
use std::net::SocketAddr;

use sac_test_support::publish;
use serde_json::Value;
use tempfile::tempdir;

use crate::program::*;

fn health(address: SocketAddr) -> (u16, Value) {
    let (status, body) = ask(address, "GET", "/sac/health", "", "");
    (status, serde_json::from_str(&body).unwrap())
}

/// The lines of the whole log that contain a text.
fn lines(program: Process, text: &str) -> usize {
    program.signal(Signal::TERM).unwrap();
    let (_, log) = program.end();
    log.lines().filter(|line| line.contains(text)).count()
}

#[test]
fn each_reason_is_logged_once_while_temporary_files_come_and_go() {
    let place = tempdir().unwrap();
    let mut program = serve(place.path(), &["."], &[]);
    let address = program.address();
    let temporary = place.path().join("checkpoint.tmp");
    for _ in 0..4 {
        fs::write(&temporary, b"half").unwrap();
        assert!(health(address).1["detail"].as_str().unwrap().starts_with("the file in the folder is not named"));
        fs::remove_file(&temporary).unwrap();
        assert!(health(address).1["detail"].as_str().unwrap().starts_with("the folder has no checkpoint yet"));
    }
    assert_eq!(lines(program, "no candidate in .: "), 2);
}

#[test]
fn a_policy_whose_files_are_gone_stays_and_the_log_health_and_status_say_so_until_there_is_a_candidate() {
    let place = tempdir().unwrap();
    let checkpoints = place.path().join("checkpoints");
    let checkpoint = checkpoints.join("model_a.onnx");
    fs::create_dir(&checkpoints).unwrap();
    publish(&checkpoint, &file("pendulum_00500.onnx"));
    let mut program = serve(place.path(), &["checkpoints"], &[]);
    let address = program.address();
    let is_well = |address| health(address) == (200, serde_json::json!({ "status": "ok", "model_loaded": true }));
    assert_eq!(predict(address).0, 200);
    assert!(is_well(address));
    for _ in 0..2 {
        fs::remove_file(&checkpoint).unwrap();
        let is_gone = |reason: &str| {
            let (status, health) = health(address);
            let detail = health["detail"].as_str().unwrap().to_owned();
            assert_eq!((status, &health["status"]), (200, &Value::from("ok")));
            let expected = format!("no candidate is left, and the policy in service stays: {reason}");
            assert!(detail.starts_with(&expected), "{detail}");
            let status = serde_json::from_str::<Value>(&ask(address, "GET", "/status", "", "").1).unwrap();
            assert_eq!(status["absence"], detail);
            assert_eq!(predict(address).0, 200);
        };
        is_gone("the folder has no checkpoint yet");
        fs::remove_dir(&checkpoints).unwrap();
        is_gone("the folder does not exist");
        fs::create_dir(&checkpoints).unwrap();
        is_gone("the folder has no checkpoint yet");
        publish(&checkpoint, &file("pendulum_08000.onnx"));
        assert_eq!(predict(address).0, 200);
        assert!(is_well(address));
    }
    assert_eq!(lines(program, "no candidate is left in checkpoints, and the policy in service stays: "), 4);
}
