//! A request to a policy: `METHOD PATH[?LENGTH] [AUTHORIZATION]` in the first line, and the body after it. A request with
//! authorization is one to a server that has tokens. LENGTH is the value of Inference-Header-Content-Length.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use sac_actor::{Backend, Body, File, Request, RequestContext, Response, Service};
use sac_actor_fuzz::{MAX_BODY_BYTES, answer, contain, context, install, load, usual_facts};
use serde_json::Value;

#[path = "../../../../tests/fuzz/contract.rs"]
mod contract;

/// One with a log_std, and one without.
const POLICIES: [(&[u8], Backend); 2] = [
    (include_bytes!("../../../../host/demo/pendulum_00500.onnx"), Backend::Kernel),
    (include_bytes!("../../../../tests/data/corpus/d3rlpy_td3_policy_onnx/policy.onnx"), Backend::Tract),
];
const STATUSES: [u16; 8] = [200, 400, 401, 404, 405, 413, 422, 500];
/// A benchmark of more numbers takes too long here.
const MOST_PASSES: f64 = 64.0;

thread_local! {
    static SERVICES: RefCell<[Service; 2]> = RefCell::new(POLICIES.map(policy));
}

fn policy((bytes, backend): (&[u8], Backend)) -> Service {
    let file = File { bytes: bytes.to_vec(), sidecars: vec![] };
    load(&file, &usual_facts(), Some(backend)).expect("the policy loads").0
}

fuzz_target!(init: install(), |input: &[u8]| {
    let (request, context) = parse(input);
    SERVICES.with_borrow_mut(|services| services.iter_mut().for_each(|service| ask(service, &request, &context)));
});

fn ask(service: &mut Service, request: &Request, context: &RequestContext) {
    let answered = contain(|| answer(service, request, context)).expect("tract does not panic for a request");
    let Some(response) = answered else {
        assert!(["/sac/model/reload", "/sac/benchmark"].contains(&request.path.as_str()), "no response");
        return;
    };
    assert!(STATUSES.contains(&response.status), "{}", response.status);
    if request.path == "/v2" || request.path.starts_with("/v2/") {
        check_inference(&response);
    } else if request.path == "/sac/openapi.json" && response.status == 200 {
        assert!(serde_json::from_slice::<Value>(&response.body).is_ok());
    } else {
        contract::check(&request.path, response.status, &response.body, true);
    }
}

/// Checks that a response of the Open Inference Protocol is JSON, with the binary tensors that it says after it.
fn check_inference(response: &Response) {
    let length = response.headers.iter().find(|(name, _)| name == "inference-header-content-length");
    let length = length.map_or(response.body.len(), |(_, length)| length.parse().expect("a length"));
    let json = serde_json::from_slice::<Value>(&response.body[..length]).expect("JSON");
    let sizes = json["outputs"].as_array().into_iter().flatten();
    let sizes = sizes.filter_map(|output| output["parameters"]["binary_data_size"].as_u64());
    assert_eq!(sizes.sum::<u64>(), (response.body.len() - length) as u64);
    let is_error = response.status >= 400;
    assert!(json["error"].is_string() == is_error && response.body.len() < 64 << 10, "{json}");
    assert!(response.status != 422 && !json["outputs"].to_string().contains("null"), "{json}");
}

fn parse(input: &[u8]) -> (Request, RequestContext) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (head, body) = (String::from_utf8_lossy(&input[..end]), &input[input.len().min(end + 1)..]);
    let mut words = head.splitn(3, ' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, header) = match path.split_once('?') {
        Some((path, header)) => (path.to_owned(), Some(header.to_owned())),
        None => (path, None),
    };
    let authorization = words.next();
    let tokens = authorization.iter().map(|_| "token".to_owned()).collect();
    let may_block = path != "/sac/benchmark" || !is_long(body);
    let body = if body.len() as u64 > MAX_BODY_BYTES { Body::OverLimit } else { Body::Complete(body.to_vec()) };
    (Request { method, path, authorization, inference_header_content_length: header, body }, context(tokens, may_block))
}

fn is_long(body: &[u8]) -> bool {
    let json = serde_json::from_slice::<Value>(body).unwrap_or_default();
    // A text may stand for a number.
    let number = |key: &str, default: f64| match json.get(key) {
        Some(Value::String(text)) => text.trim().parse().unwrap_or(f64::INFINITY),
        Some(value) => value.as_f64().unwrap_or(1.0),
        None => default,
    };
    (number("iterations", 1000.0) + number("warmup", 50.0)) * number("batch_size", 1.0) > MOST_PASSES
}
