//! Requests that are made to take much: bodies of 8 MiB, as large as a server may accept, of which a wrong one takes no more
//! memory than a right one; and the document of the routes, for which everyone may ask.

use sac_actor::{Body, Outcome, Request, RequestContext, Response, Service};
use serde_json::{Value, json};

use crate::graphs::wide;
use crate::harness::{MAY_BLOCK, request};
use crate::memory::peak_of;
use crate::{load, put};

const LENGTH: usize = 8 << 20;
/// The memory that an answer may take beside the body, whatever is wrong with the body.
const LITTLE: usize = 4 << 20;

fn policy() -> Service {
    load(sac_test_support::file("pendulum_00500.onnx")).unwrap()
}

/// Repeats `unit` between a head and a tail until the body has its length.
fn filled(head: &str, unit: &str, tail: &str) -> Vec<u8> {
    let count = (LENGTH - head.len() - tail.len()) / unit.len();
    [head, &unit.repeat(count), tail].concat().into_bytes()
}

/// Answers a request. Returns the response, and how much memory it took.
fn post(service: &mut Service, path: &str, body: Vec<u8>) -> (Response, usize) {
    let request = request("POST", path, body);
    let (outcome, peak) = peak_of(|| service.answer(&request, &MAY_BLOCK));
    let Outcome::Respond(response) = outcome else { panic!("no answer") };
    (response, peak)
}

fn issues(response: &Response) -> Vec<String> {
    assert_eq!(response.status, 422);
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    body["detail"].as_array().unwrap().iter().map(|issue| issue["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_wrong_body_takes_little_memory_whatever_it_holds() {
    let mut service = policy();
    let keys = (0..700_000).map(|i| format!("\"{i:x}\":0")).collect::<Vec<_>>().join(",");
    let deep = "[".repeat(LENGTH / 2);
    let digits = "1".repeat(LENGTH - 100);
    let text = "x".repeat(LENGTH - 100);
    for (name, body, issue) in [
        ("objects", filled(r#"{"state":"x","y":["#, r#"{"":0},"#, "0]}"), "list_type"),
        ("lists", filled(r#"{"state":"x","y":["#, "[[0]],", "0]}"), "list_type"),
        ("numbers", filled(r#"{"state":"x","y":["#, "0,", "0]}"), "list_type"),
        ("texts", filled(r#"{"state":"x","y":["#, "\"\",", "0]}"), "list_type"),
        ("keys", format!(r#"{{"state":"x",{keys}}}"#).into_bytes(), "list_type"),
        ("the same key", filled(r#"{"state":"x","#, r#""a":0,"#, r#""b":0}"#), "list_type"),
        ("the same field", filled("{", r#""state":"x","#, r#""b":0}"#), "list_type"),
        ("escapes", filled(r#"{"state":"x","y":""#, "\\u0000", "\"}"), "list_type"),
        ("a long number", format!(r#"{{"state":[{digits}]}}"#).into_bytes(), "json_invalid"),
        ("a long fraction", format!(r#"{{"state":"x","y":0.{digits}}}"#).into_bytes(), "list_type"),
        ("a long key", format!(r#"{{"state":"x","{text}":0}}"#).into_bytes(), "list_type"),
        ("a long text for a list", format!(r#"{{"state":"{text}"}}"#).into_bytes(), "list_type"),
        ("a long text for a number", format!(r#"{{"state":["{text}"]}}"#).into_bytes(), "float_type"),
        ("a long text for a flag", format!(r#"{{"state":[0],"deterministic":"{text}"}}"#).into_bytes(), "bool_type"),
        ("a long text for a seed", format!(r#"{{"state":[0],"seed":"{text}"}}"#).into_bytes(), "int_type"),
        ("a long text", format!("\"{text}\"").into_bytes(), "model_attributes_type"),
        ("a list of lists", filled("[", "[],", "0]"), "model_attributes_type"),
        ("depth", format!(r#"{{"state":{deep}}}"#).into_bytes(), "json_invalid"),
        ("depth alone", deep.clone().into_bytes(), "json_invalid"),
        ("wrong numbers", filled(r#"{"state":["#, "{},", "0]}"), "float_type"),
    ] {
        let (response, peak) = post(&mut service, "/sac/predict", body);
        assert_eq!(issues(&response)[0], issue, "{name}");
        // With some of its features, serde_json copies a number, in right input too.
        let is_number = ["a long number", "a long fraction"].contains(&name);
        let most = if is_number { 2 * LENGTH } else { LITTLE };
        assert!(peak < most, "{name}: {peak} bytes");
    }
}

#[test]
fn wrong_states_take_little_memory_and_get_a_bounded_list_of_issues() {
    let mut service = policy();
    for (unit, issue) in [("{},", "list_type"), ("\"\",", "list_type"), ("[[]],", "float_type"), ("0,", "list_type")] {
        let (response, peak) = post(&mut service, "/sac/predict/batch", filled(r#"{"states":["#, unit, "[0]]}"));
        assert_eq!(issues(&response), vec![issue; 20], "{unit}");
        assert!(peak < LITTLE, "{unit}: {peak} bytes");
    }
}

const INFER: &str = "/v2/models/policy/infer";

#[test]
fn a_wrong_inference_request_takes_little_memory_whatever_it_holds() {
    let mut service = policy();
    let text = "x".repeat(LENGTH - 200);
    let input = r#"{"inputs":[{"name":"state","datatype":"FP32","shape":"#;
    for (name, body) in [
        ("inputs", filled(r#"{"inputs":["#, "{},", "0]}")),
        ("named inputs", filled(r#"{"inputs":["#, r#"{"name":"state","shape":[],"datatype":"FP32"},"#, "0]}")),
        ("outputs", filled(r#"{"outputs":["#, r#"{"name":"action"},"#, "0]}")),
        ("empty outputs", filled(r#"{"outputs":["#, "{},", "0]}")),
        ("dimensions", filled(&format!("{input}["), "1,", "3]}]}")),
        ("parameters", filled(r#"{"parameters":{"#, r#""x":0,"#, r#""seed":-1}}"#)),
        ("unknown fields", filled(r#"{"x":["#, r#"{"":[]},"#, r#"0],"inputs":[]}"#)),
        ("a long id", format!(r#"{{"id":"{text}"}}"#).into_bytes()),
        ("a long name", format!(r#"{{"outputs":[{{"name":"{text}"}}]}}"#).into_bytes()),
        ("a long datatype", format!(r#"{{"inputs":[{{"datatype":"{text}"}}]}}"#).into_bytes()),
        ("a text for a list", format!(r#"{{"inputs":"{text}"}}"#).into_bytes()),
        ("depth", format!(r#"{{"inputs":{}"#, "[".repeat(LENGTH / 2)).into_bytes()),
        ("empty rows", filled(&format!(r#"{input}[1,3],"data":["#), "[],", "[]]}]}")),
    ] {
        let (response, peak) = post(&mut service, INFER, body);
        assert_eq!(response.status, 400, "{name}");
        assert!(response.body.len() < 300, "{name}: {} bytes", response.body.len());
        assert!(peak < LITTLE, "{name}: {peak} bytes");
    }
}

#[test]
fn many_states_take_no_more_memory_than_their_numbers() {
    let mut service = policy();
    for unit in ["[],", "[0,0,0],"] {
        let (response, peak) = post(&mut service, "/sac/predict/batch", filled(r#"{"states":["#, unit, "[0,0,0]]}"));
        assert_eq!(response.status, 400, "{unit}");
        // At least two bytes of JSON are a number of four bytes, in a list that grows by doubling.
        assert!(peak < 6 * LENGTH, "{unit}: {peak} bytes");
    }
    let data = filled(r#"{"inputs":[{"name":"state","datatype":"FP32","shape":[3],"data":["#, "0,", "0]}]}");
    let (response, peak) = post(&mut service, INFER, data);
    assert_eq!(response.status, 400);
    assert!(peak < 6 * LENGTH, "{peak} bytes");
    let (response, peak) =
        post(&mut service, "/sac/benchmark", filled(r#"{"iterations":1,"warmup":0,"y":["#, "[],", "0]}"));
    assert_eq!(response.status, 200);
    assert!(peak < LITTLE, "{peak} bytes");
    let (response, peak) =
        post(&mut service, "/sac/benchmark", filled(r#"{"iterations":"x","y":["#, r#"{"":0},"#, "0]}"));
    assert_eq!(issues(&response), ["int_type"]);
    assert!(peak < LITTLE, "{peak} bytes");
}

#[test]
fn a_long_body_is_read_where_the_call_may_block() {
    let mut service = policy();
    for (path, expected) in
        [("/sac/predict", Outcome::Long), ("/sac/predict/batch", Outcome::Long), ("/sac/benchmark", Outcome::Benchmark)]
    {
        let request = request("POST", path, filled(r#"{"y":["#, "[],", "0]"));
        let context = RequestContext { may_block: false, ..MAY_BLOCK };
        let (outcome, peak) = peak_of(|| service.answer(&request, &context));
        assert_eq!(outcome, expected, "{path}");
        assert!(peak < 1 << 10, "{path}: {peak} bytes");
        let outcome = service.answer(&request, &MAY_BLOCK);
        assert!(matches!(outcome, Outcome::Respond(Response { status: 422, .. })), "{path}");
    }
}

/// Asks for the document of the routes. Returns it, and how much memory that took.
fn document(service: &mut Service, authorization: Option<&str>) -> (Vec<u8>, usize) {
    let authorization = authorization.map(str::to_owned);
    let (method, path, body) = ("GET".into(), "/sac/openapi.json".into(), Body::Complete(vec![]));
    let request = Request { method, path, authorization, inference_header_content_length: None, body };
    let context = RequestContext { tokens: vec!["token".into()], ..MAY_BLOCK };
    let (outcome, peak) = peak_of(|| service.answer(&request, &context));
    let Outcome::Respond(Response { status: 200, body, .. }) = outcome else { panic!("no answer") };
    (body, peak)
}

fn example(document: &[u8]) -> Value {
    let document: Value = serde_json::from_slice(document).unwrap();
    document["paths"]["/sac/predict"]["post"]["requestBody"]["content"]["application/json"]["example"].clone()
}

#[test]
fn the_document_of_the_routes_is_made_once_for_each_policy() {
    let mut service = policy();
    let (strangers, _) = document(&mut service, None);
    let (clients, _) = document(&mut service, Some("Bearer token"));
    assert_eq!((example(&strangers), example(&clients)), (json!({"state": [0, 0, 0]}), json!({"state": [0, 0, 0]})));
    for (authorization, expected) in [(None, &strangers), (Some("Bearer token"), &clients)] {
        let (again, peak) = document(&mut service, authorization);
        assert!(again == *expected && peak < 2 * expected.len(), "{peak} bytes");
    }
    put(&mut service, sac_test_support::file("stat_pair_01000.onnx")).unwrap();
    let ((strangers, _), (clients, _)) = (document(&mut service, None), document(&mut service, Some("Bearer token")));
    assert_eq!((example(&strangers), example(&clients)), (json!({"state": [0, 0, 0]}), json!({"state": vec![0; 28]})));
}

#[test]
fn the_document_of_the_routes_is_small_whatever_the_policy_is() {
    let mut service = load(wide(1 << 20, 1)).unwrap();
    let (document, peak) = document(&mut service, Some("Bearer token"));
    assert!(document.len() < 30_000 && peak < 1 << 20, "{} bytes, {peak} bytes", document.len());
    assert_eq!(example(&document), Value::Null);
}
