//! The lines that requests and swaps write to the log.

use std::fs;

use sac_test_support::{Connection, Process, card_of, publish, request};
use serde_json::Value;

use crate::program::{Signal, ask, cache, command, file, folder, predict, serve};

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
    assert!(!program.end().1.contains("status"));
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
    assert_eq!(line["by_convention"], "squash, log_std");
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

#[test]
fn a_file_that_is_written_slowly_without_a_rename_writes_a_line_in_some_seconds_with_the_number_of_its_refusals() {
    const WRITES: usize = 20;
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let address = program.address();
    let whole = file("pendulum_08000.sb3.zip");
    for part in 1..=WRITES {
        fs::write(place.path().join("model_b.zip"), &whole[..part * whole.len() / (WRITES + 1)]).unwrap();
        assert_eq!(predict(address).0, 200);
    }
    let (mut refusals, mut lines) = (0, 0);
    while refusals < WRITES {
        let line = program.wait_for("checkpoint refused");
        let last = line.split_once("the last of ").map(|(_, rest)| rest.split(' ').next().unwrap().parse().unwrap());
        refusals += last.unwrap_or(1);
        lines += 1;
    }
    assert!(refusals == WRITES && lines < WRITES / 2, "{}", program.seen);
}

#[test]
fn what_a_file_is_called_or_holds_forges_no_line_and_moves_no_cursor() {
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let address = program.address();
    let forged = "model_b\n2026-11-25T00:00:00Z ERROR forged\u{1b}[31m\r\u{202e}.onnx";
    for content in [b"broken".to_vec(), file("pendulum_08000.onnx")] {
        publish(&place.path().join(forged), &content);
        predict(address);
    }
    let card = place.path().join("model_c.onnx");
    publish(&card_of(&card), b"{\"k\\u001b[31m\\nERROR forged\": 1}");
    publish(&card, &file("pendulum_08000.onnx"));
    predict(address);
    program.signal(Signal::TERM).unwrap();
    let log = program.end().1;
    assert!(log.contains("checkpoint refused") && log.matches("forged").count() >= 3, "{log}");
    assert!(!log.contains(['\u{1b}', '\r', '\u{202e}']), "{log:?}");
    for line in log.lines() {
        // Each line begins with the time, which no name or content can write.
        assert!(line.starts_with("20") && !line.starts_with("2026-11-25T00:00:00Z"), "{line}");
    }
}

#[test]
fn a_log_that_nobody_reads_delays_nothing() {
    let place = folder();
    let mut command = command("serve", place.path(), &cache());
    command.args(["--dir", ".", "--access-log"]);
    let mut program = Process::spawn(command).unwrap();
    let mut connection = Connection::open(program.address()).unwrap();
    // The pipe holds 64 KiB, and each request writes more than 100 bytes.
    for _ in 0..5000 {
        assert_eq!(connection.ask(&request("GET", "/healthz", "", "")).unwrap().status, 200);
    }
    program.signal(Signal::TERM).unwrap();
    let (status, _) = program.end();
    assert_eq!(status.code(), Some(0));
}
