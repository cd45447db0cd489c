//! The lines that requests and swaps write to the log.

use std::fs;

use serde_json::Value;

use crate::program::{Signal, ask, file, folder, predict, serve};

fn fields(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn the_access_log_has_a_line_for_each_request_and_is_off_by_default() {
    let place = folder();
    let mut program = serve(place.path(), &["--dir", ".", "--access-log"], &[("SAC_LOG_FORMAT", "json")]);
    let address = program.address();
    predict(address);
    let line = fields(&program.wait_for("/sac/predict"));
    assert_eq!((&line["method"], &line["status"], &line["level"]), (&"POST".into(), &200.into(), &"INFO".into()));
    assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:") && line["duration_ms"].as_f64().unwrap() > 0.0);
    ask(address, "GET", "/nothing?secret", "", "");
    let line = fields(&program.wait_for("/nothing"));
    assert_eq!((&line["path"], &line["status"]), (&"/nothing".into(), &404.into()));

    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let address = program.address();
    predict(address);
    program.signal(Signal::TERM).unwrap();
    assert!(!program.end().1.contains("/sac/predict"));
}

#[test]
fn a_swap_and_a_refusal_write_a_line_with_fields_each() {
    let place = folder();
    let mut program = serve(place.path(), &["--dir", ".", "--log-format", "json"], &[]);
    let address = program.address();
    let line = fields(&program.wait_for("checkpoint in service"));
    let (path, generation, format) = (line["path"].as_str().unwrap(), &line["generation"], &line["format"]);
    assert!(path.ends_with("model_a.onnx") && generation == 1 && format == "onnx", "{line}");
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0, "{line}");
    fs::write(place.path().join("model_b.onnx"), b"broken").unwrap();
    predict(address);
    predict(address);
    let line = fields(&program.wait_for("checkpoint refused"));
    assert!(line["path"].as_str().unwrap().ends_with("model_b.onnx") && line["level"] == "WARN", "{line}");
    fs::write(place.path().join("model_c.onnx"), file("pendulum_08000.onnx")).unwrap();
    predict(address);
    // It is the next line, since a refusal is logged once.
    let line = fields(&program.wait_for(""));
    assert!(line["path"].as_str().unwrap().ends_with("model_c.onnx") && line["generation"] == 2, "{line}");
}
