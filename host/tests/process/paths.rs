//! The paths that responses and the log show.

use std::fs;
use std::os::unix::fs::symlink;

use sac_test_support::publish;
use serde_json::Value;
use tempfile::tempdir;

use crate::program::{ask, file, predict, serve};

#[test]
fn paths_are_absolute_and_without_symlinks_whether_a_checkpoint_serves_is_refused_or_is_promoted() {
    let place = tempdir().unwrap();
    let folder = place.path().canonicalize().unwrap().join("folder");
    fs::create_dir_all(folder.join("shadow")).unwrap();
    symlink("folder", place.path().join("link")).unwrap();
    publish(&folder.join("model_a.onnx"), &file("pendulum_00500.onnx"));
    let mut program = serve(place.path(), &["link", "--shadow-share", "1"], &[]);
    let address = program.address();
    let expected = |name: &str| format!("\"{}\"", folder.join(name).display());
    let (_, answer) = predict(address);
    assert!(answer.contains(&expected("model_a.onnx")), "{answer}");
    publish(&folder.join("shadow/model_b.onnx"), &file("pendulum_08000.onnx"));
    let (_, answer) = ask(address, "POST", "/sac/model/promote", "", "");
    let promoted = serde_json::from_str::<Value>(&answer).unwrap();
    assert_eq!(promoted["model_path"].to_string(), expected("model_b.onnx"), "{answer}");
    publish(&folder.join("model_c.onnx"), b"broken");
    predict(address);
    let line = program.wait_for("checkpoint refused");
    assert!(line.contains(folder.join("model_c.onnx").to_str().unwrap()), "{line}");
    let (_, info) = ask(address, "GET", "/sac/model/info", "", "");
    let info = serde_json::from_str::<Value>(&info).unwrap();
    assert_eq!(info["last_error"]["path"].to_string(), expected("model_c.onnx"), "{info}");
    let (_, status) = ask(address, "GET", "/status", "", "");
    let status = serde_json::from_str::<Value>(&status).unwrap();
    let swaps = status["swaps"].as_array().unwrap();
    assert!(swaps.iter().all(|swap| swap["path"].as_str().unwrap().starts_with(folder.to_str().unwrap())), "{status}");
}
