//! Operators of ONNX give the numbers of ONNX Runtime, which `tests/data/make_operators.py` wrote.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use base64::prelude::{BASE64_STANDARD, Engine};
use harness::{Actor, NOTHING, bare};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    /// In base64.
    graph: String,
    states: Vec<Vec<f64>>,
    actions: Vec<Vec<f64>>,
}

#[test]
fn each_operator_gives_the_numbers_of_onnx_runtime() {
    let cases = serde_json::from_slice::<Vec<Case>>(&sac_test_support::file("operators/onnx.json")).unwrap();
    assert!(cases.len() >= 40);
    let failures = cases.iter().filter_map(|case| check(case).err().map(|error| format!("{}: {error}", case.name)));
    let failures = failures.collect::<Vec<_>>();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn check(case: &Case) -> Result<(), String> {
    let mut actor = Actor::load(bare(BASE64_STANDARD.decode(&case.graph).unwrap()), NOTHING)?;
    for (state, expected) in case.states.iter().zip(&case.actions) {
        let found = actor.act(state).map_err(|error| format!("{error:?}"))?;
        let is_near = |(found, expected): (&f64, &f64)| (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
        if found.len() != expected.len() || !found.iter().zip(expected).all(is_near) {
            return Err(format!("{found:?} for {state:?}, ONNX Runtime gives {expected:?}"));
        }
    }
    Ok(())
}
