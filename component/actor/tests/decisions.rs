//! An answer tells its owner which decision it contains, and the decision can be computed again to the last bit.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{MAY_BLOCK, config, list, request, service};
use sac_actor::{Decision, Outcome, Request, RequestContext, Response, RowOutputs, Service};
use serde_json::{Value, json};

const WANTS_DECISION: RequestContext = RequestContext {
    tokens: vec![],
    refusal: None,
    absence: None,
    reloaded: None,
    may_block: true,
    wants_decision: true,
};

fn state(row: usize) -> Vec<f64> {
    (0..28).map(|i| ((row * 28 + i) as f64 * 0.618_034).fract() - 0.5).collect()
}

fn states(rows: usize) -> Vec<Vec<f64>> {
    (0..rows).map(state).collect()
}

fn as_f32(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|number| *number as f32).collect()
}

fn respond(outcome: Outcome) -> (Value, Option<Decision>) {
    let Outcome::Respond(Response { status: 200, body, decision, .. }) = outcome else { panic!("{outcome:?}") };
    (serde_json::from_slice(&body).unwrap(), decision)
}

fn ask(service: &mut Service, path: &str, body: &Value) -> (Value, Decision) {
    let (answer, decision) = respond(service.answer(&request("POST", path, body.to_string()), &WANTS_DECISION));
    (answer, decision.unwrap())
}

/// Returns the requests for the actions of some states, each as its route has it.
fn requests(rows: usize, sampling: &Value) -> Vec<(&'static str, Value)> {
    let flat = states(rows).concat();
    let mut inference =
        json!({ "inputs": [{ "name": "state", "shape": [rows, 28], "datatype": "FP64", "data": flat }] });
    inference["parameters"] = sampling.clone();
    let mut batch = json!({ "states": states(rows) });
    batch.as_object_mut().unwrap().extend(sampling.as_object().unwrap().clone());
    vec![("/sac/predict/batch", batch), ("/v2/models/policy/infer", inference)]
}

#[test]
fn a_prediction_tells_its_states_its_seed_and_its_actions() {
    let mut service = service("stat_pair_03000.onnx", false);
    let (answer, decision) = ask(&mut service, "/sac/predict", &json!({ "state": state(3) }));
    assert_eq!((decision.states, decision.seed), (as_f32(&state(3)), None));
    assert_eq!(decision.actions, as_f32(&list(&answer["action"])));
    for (path, body) in requests(5, &json!({ "deterministic": false, "seed": u64::MAX })) {
        let (answer, decision) = ask(&mut service, path, &body);
        assert_eq!((decision.states, decision.seed), (as_f32(&states(5).concat()), Some(u64::MAX)), "{path}");
        let actions = if path.starts_with("/sac") { &answer["actions"] } else { &answer["outputs"][0]["data"] };
        assert_eq!(decision.actions, as_f32(&list(actions)), "{path}");
    }
}

#[test]
fn a_seed_counts_only_where_actions_are_sampled() {
    let mut service = service("stat_pair_03000.onnx", false);
    let (_, decision) = ask(&mut service, "/sac/predict", &json!({ "state": state(3), "seed": 7 }));
    assert_eq!(decision.seed, None);
}

#[test]
fn decisions_are_computed_again_to_the_last_bit_by_another_instance() {
    let (mut service, mut other) =
        (service("stat_pair_03000.onnx", false), harness::service("stat_pair_03000.onnx", false));
    let sampled = json!({ "deterministic": false });
    for sampling in [json!({}), json!({ "deterministic": false, "seed": 7 }), sampled.clone()] {
        for (path, body) in requests(40, &sampling) {
            let (_, Decision { states, seed, actions }) = ask(&mut service, path, &body);
            assert_eq!(other.decide(&states, seed).unwrap(), actions, "{path} with {sampling}");
        }
    }
    // Without a seed, the draws differ from one request to the next.
    let (path, body) = &requests(4, &sampled)[0];
    let seeds = (0..4).map(|_| ask(&mut service, path, body).1.seed.unwrap()).collect::<std::collections::HashSet<_>>();
    assert_eq!(seeds.len(), 4);
}

#[test]
fn a_batch_in_parts_tells_its_decision_too() {
    let rows = 4000;
    for (path, body) in requests(rows, &json!({ "deterministic": false })) {
        let mut service = service("stat_pair_03000.onnx", true);
        let outcome = service.answer(&request("POST", path, body.to_string()), &WANTS_DECISION);
        let Outcome::Split(batch) = outcome else { panic!("{path} is not split") };
        let RowOutputs { mean, log_std } = service.forward(&batch).unwrap();
        let (_, decision) = respond(service.finish(RowOutputs { mean, log_std }));
        let Decision { states, seed, actions } = decision.unwrap();
        let sent = as_f32(&self::states(rows).concat());
        let other = states.iter().zip(&sent).position(|(one, other)| one != other);
        assert_eq!(other.map(|index| (states[index], sent[index], self::states(rows).concat()[index])), None, "{path}");
        assert!(service.decide(&states, seed).unwrap() == actions, "{path}");
    }
}

#[test]
fn answers_without_actions_and_owners_that_do_not_ask_get_no_decision() {
    let mut service = service("stat_pair_03000.onnx", false);
    let mut decision = |request: &Request, context: &RequestContext| match service.answer(request, context) {
        Outcome::Respond(response) => response.decision,
        outcome => panic!("{outcome:?}"),
    };
    let predict = request("POST", "/sac/predict", json!({ "state": state(0) }).to_string());
    assert!(decision(&predict, &WANTS_DECISION).is_some());
    assert_eq!(decision(&predict, &MAY_BLOCK), None);
    let mut mean = requests(1, &json!({})).remove(1).1;
    mean["outputs"] = json!([{ "name": "mean" }]);
    for (method, path, body) in [
        ("GET", "/sac/health", String::new()),
        ("GET", "/sac/model/info", String::new()),
        ("POST", "/sac/predict", r#"{"state": [1]}"#.to_owned()),
        ("POST", "/sac/benchmark", r#"{"iterations": 1, "batch_size": 2}"#.to_owned()),
        ("POST", "/v2/models/policy/infer", mean.to_string()),
    ] {
        assert_eq!(decision(&request(method, path, body), &WANTS_DECISION), None, "{path}");
    }
}

#[test]
fn a_decision_that_the_policy_cannot_make_is_an_error() {
    let mut service = service("stat_pair_03000.onnx", false);
    for states in [&[][..], &[0.0; 27], &[0.0; 29], &[f32::NAN; 28]] {
        assert!(service.decide(states, None).is_err(), "{}", states.len());
    }
    assert!(Service::new(config(false)).decide(&[0.0; 28], None).is_err());
}
