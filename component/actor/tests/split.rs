//! A batch that its owner computes in parts is answered as one that is computed at once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{MAY_BLOCK, request};
use sac_actor::{Batch, Outcome, Response, RowOutputs, Service};
use serde_json::{Value, json};

/// More rows than a pass of a tenth of a millisecond has, however quick the machine is.
const ROWS: usize = 4000;

fn service(splits: bool) -> Service {
    harness::service("stat_pair_03000.onnx", splits)
}

fn ask(service: &mut Service, rows: usize, sampling: &Value) -> Outcome {
    let state = |row: usize| (0..28).map(move |i| ((row * 28 + i) as f64 * 0.618_034).fract() - 0.5);
    let states = (0..rows).map(|row| state(row).collect::<Vec<_>>()).collect::<Vec<_>>();
    let mut body = json!({ "states": states });
    body.as_object_mut().unwrap().extend(sampling.as_object().unwrap().clone());
    service.answer(&request("POST", "/sac/predict/batch", body.to_string()), &MAY_BLOCK)
}

/// Returns the status and the actions.
fn actions(outcome: Outcome) -> (u16, Value) {
    let Outcome::Respond(Response { status, body, .. }) = outcome else { panic!("no response") };
    (status, serde_json::from_slice::<Value>(&body).unwrap()["actions"].clone())
}

fn in_parts(service: &mut Service, batch: &Batch, rows: usize) -> RowOutputs {
    let mut outputs = RowOutputs { mean: vec![], log_std: vec![] };
    for states in batch.states.chunks(28 * rows) {
        let part = service.forward(&Batch { states: states.to_vec(), log_std: batch.log_std }).unwrap();
        outputs.mean.extend(part.mean);
        outputs.log_std.extend(part.log_std);
    }
    outputs
}

#[test]
fn parts_of_any_size_give_the_answer_of_the_whole() {
    for sampling in [json!({}), json!({ "deterministic": false, "seed": 7 })] {
        let (status, whole) = actions(ask(&mut service(false), ROWS, &sampling));
        assert_eq!((status, whole.as_array().unwrap().len()), (200, ROWS));
        for rows in [1, 7, 32, 1000, ROWS] {
            let mut service = service(true);
            let Outcome::Split(batch) = ask(&mut service, ROWS, &sampling) else { panic!("it is not split") };
            let outputs = in_parts(&mut service, &batch, rows);
            assert!(actions(service.finish(outputs)) == (200, whole.clone()), "parts of {rows} rows");
        }
    }
}

#[test]
fn a_small_batch_is_answered_at_once() {
    assert_eq!(actions(ask(&mut service(true), 2, &json!({}))).0, 200);
}

#[test]
fn outputs_that_belong_to_no_request_are_an_error() {
    let mut service = service(true);
    let nothing = || RowOutputs { mean: vec![], log_std: vec![] };
    assert_eq!(actions(service.finish(nothing())).0, 500);
    let Outcome::Split(batch) = ask(&mut service, ROWS, &json!({})) else { panic!("it is not split") };
    assert_eq!(actions(service.finish(nothing())).0, 500);
    // The request has been answered.
    let outputs = in_parts(&mut service, &batch, ROWS);
    assert_eq!(actions(service.finish(outputs)).0, 500);
    for numbers in [0, 1, 27, 29] {
        assert!(service.forward(&Batch { states: vec![0.0; numbers], log_std: false }).is_err(), "{numbers}");
    }
}

#[test]
fn a_benchmark_of_a_batch_measures_the_passes_of_its_owner() {
    let mut service = service(true);
    let request = request("POST", "/sac/benchmark", r#"{"warmup": 3, "iterations": 5, "batch_size": 4000}"#);
    let (mut outcome, mut passes) = (service.answer(&request, &MAY_BLOCK), 0);
    while let Outcome::Split(batch) = outcome {
        assert_eq!((batch.states.len(), batch.log_std), (4000 * 28, false));
        let outputs = in_parts(&mut service, &batch, 1000);
        outcome = service.finish(outputs);
        passes += 1;
    }
    let Outcome::Respond(Response { status, body, .. }) = outcome else { panic!("no response") };
    let report = serde_json::from_slice::<Value>(&body).unwrap();
    assert_eq!((status, passes, &report["iterations"]), (200, 8, &json!(5)), "{report}");
    // A pass with other outputs ends it.
    let Outcome::Split(_) = service.answer(&request, &MAY_BLOCK) else { panic!("no split") };
    let wrong = RowOutputs { mean: vec![0.0], log_std: vec![] };
    let Outcome::Respond(Response { status, .. }) = service.finish(wrong) else { panic!("no response") };
    assert_eq!(status, 500);
}
