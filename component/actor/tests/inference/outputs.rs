//! The outputs of an inference, and what an answer says beside them.

use sac_test_support::Golden;
use serde_json::{Value, json};

use crate::{DETERMINISTIC, PENDULUM, Server, f32s, output, request};

const STATES: [[f32; 3]; 3] = [[0.1, 0.2, 0.3], [-1.0, 0.5, 2.0], [0.0, 0.0, 0.0]];

fn asking(outputs: &[&str], parameters: &Value) -> Value {
    let mut body = request(&json!(STATES), parameters);
    body["outputs"] = outputs.iter().map(|name| json!({ "name": name })).collect();
    body
}

#[test]
fn actions_have_the_bits_of_a_batch_of_the_other_routes() {
    let mut server = Server::of(PENDULUM);
    for sampling in [json!({}), json!({ "deterministic": false, "seed": 7 }), json!({ "seed": 7 })] {
        let mut body = json!({ "states": STATES });
        body.as_object_mut().unwrap().extend(sampling.as_object().unwrap().clone());
        let expected = server.post("/sac/predict/batch", &body).1;
        let answer = server.infer(&request(&json!(STATES), &sampling));
        assert_eq!(f32s(&answer["outputs"][0]["data"]), f32s(&expected["actions"]), "{sampling}");
        assert_eq!(answer["outputs"][0]["shape"], json!([3, 1]));
    }
}

#[test]
fn samples_without_a_seed_differ() {
    let mut server = Server::of(PENDULUM);
    let mut sample = || server.infer(&request(&json!(STATES), &json!({ "deterministic": false })))["outputs"].clone();
    assert_ne!(sample(), sample());
}

#[test]
fn outputs_come_in_the_order_in_which_they_are_asked_for() {
    let mut server = Server::of(PENDULUM);
    for names in [vec!["log_std", "action", "mean"], vec!["mean"], vec!["action", "log_std"]] {
        let answer = server.infer(&asking(&names, &json!({})));
        let found = answer["outputs"].as_array().unwrap().iter().map(|output| &output["name"]).collect::<Vec<_>>();
        assert_eq!(found, names);
    }
    let answer = server.infer(&asking(&[], &json!({})));
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(answer["outputs"][0]["name"], "action");
}

#[test]
fn the_mean_and_log_std_are_those_that_pytorch_computes() {
    let golden = Golden::read();
    let policy = golden.policy("pendulum_00500");
    let mut server = Server::of(PENDULUM);
    let mut body = request(&json!(policy.states()), &json!({}));
    body["outputs"] = json!([{ "name": "mean" }, { "name": "log_std" }]);
    let answer = server.infer(&body);
    for name in ["mean", "log_std"] {
        let found = f32s(&output(&answer, name)["data"]);
        let expected = policy.rows(name).concat();
        // golden.json holds the log_std that the head computes. The policy clamps it.
        let expected = expected.iter().map(|x| if name == "log_std" { x.clamp(-20.0, 2.0) } else { *x });
        assert!(found.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5 * b.abs().max(1.0)), "{name}");
    }
}

#[test]
fn samples_come_with_the_mean_and_log_std_that_they_are_drawn_from() {
    let mut server = Server::of(PENDULUM);
    let names = ["action", "mean", "log_std"];
    let sampled = server.infer(&asking(&names, &json!({ "deterministic": false, "seed": 1 })));
    let certain = server.infer(&asking(&names, &json!({})));
    assert_ne!(output(&sampled, "action"), output(&certain, "action"));
    for name in ["mean", "log_std"] {
        assert_eq!(output(&sampled, name), output(&certain, name));
    }
}

#[test]
fn a_policy_without_log_std_has_no_such_output() {
    let mut server = Server::of(DETERMINISTIC);
    let reason = server.refusal(None, asking(&["log_std"], &json!({})).to_string().as_bytes());
    assert_eq!(reason, "the policy has no log_std");
    let reason = server.refusal(None, asking(&["action"], &json!({ "deterministic": false })).to_string().as_bytes());
    assert!(reason.contains("deterministic only"), "{reason}");
    let answer = server.infer(&asking(&["mean", "action"], &json!({})));
    assert_eq!(output(&answer, "action")["shape"], json!([3, 2]));
}

#[test]
fn a_single_state_is_answered_without_a_dimension_for_rows() {
    let mut server = Server::of(DETERMINISTIC);
    let input = |shape: Value| json!([{ "name": "state", "shape": shape, "datatype": "FP32", "data": STATES[0] }]);
    let alone = server.infer(&json!({ "inputs": input(json!([3])) }));
    let batch = server.infer(&json!({ "inputs": input(json!([1, 3])) }));
    assert_eq!(alone["outputs"][0]["shape"], json!([2]));
    assert_eq!(batch["outputs"][0]["shape"], json!([1, 2]));
    assert_eq!(alone["outputs"][0]["data"], batch["outputs"][0]["data"]);
}

#[test]
fn an_answer_names_its_checkpoint() {
    let mut server = Server::of(PENDULUM);
    let answer = server.infer(&request(&json!(STATES), &json!({})));
    let prediction = server.post("/sac/predict/batch", &json!({ "states": STATES })).1;
    for name in ["model_path", "model_mtime_utc", "jit_compiled"] {
        assert_eq!(answer["parameters"][name], prediction[name]);
        assert!(!answer["parameters"][name].is_null());
    }
    assert!(answer["parameters"]["latency_ms"].is_f64());
    assert_eq!(answer["model_version"], "1");
}
