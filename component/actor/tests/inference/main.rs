//! The routes of the Open Inference Protocol: what its clients send, and what they read in an answer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batches;
mod binary;
mod clients;
#[path = "../harness/mod.rs"]
mod harness;
mod outputs;
mod refusals;
mod routes;

use harness::{MAY_BLOCK, checkpoint, read, relu_and_unit};
use sac_actor::{OnRefusal, Outcome, Request, RequestContext, Response, RouterConfig, RowOutputs, Service};
use sac_test_support::path;
use serde_json::{Value, json};

const INFER: &str = "/v2/models/pendulum/infer";

/// A policy of 3 to 1 with a log_std.
const PENDULUM: &str = "pendulum_00500.onnx";
/// A policy of 3 to 2 without one.
const DETERMINISTIC: &str = "corpus/d3rlpy_td3_policy_onnx/policy.onnx";

/// A server without its HTTP.
struct Server {
    service: Service,
    context: RequestContext,
}

impl Server {
    fn of(file: &str) -> Server {
        let mut server = Server::empty();
        server.service.load(checkpoint(), read(&path(file)), None).unwrap();
        server
    }

    fn empty() -> Server {
        Server::with(OnRefusal::Keep, false)
    }

    fn with(on_refusal: OnRefusal, splits: bool) -> Server {
        let service = Service::new(RouterConfig {
            name: "pendulum".into(),
            optimised: true,
            operator_facts: relu_and_unit(),
            on_refusal,
            max_batch: 4096,
            max_body_bytes: 1 << 24,
            splits,
        });
        Server { service, context: MAY_BLOCK }
    }

    fn send(&mut self, method: &str, path: &str, header: Option<&str>, body: &[u8]) -> Outcome {
        let inference_header_content_length = header.map(str::to_owned);
        let request = Request { inference_header_content_length, ..harness::request(method, path, body) };
        self.service.answer(&request, &self.context)
    }

    fn get(&mut self, path: &str) -> (u16, Value) {
        let response = respond(self.send("GET", path, None, b""));
        (response.status, json_of(&response))
    }

    /// Posts a body of JSON alone.
    fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let response = respond(self.send("POST", path, None, body.to_string().as_bytes()));
        (response.status, json_of(&response))
    }

    /// Returns the answer to an inference request of JSON alone.
    #[track_caller]
    fn infer(&mut self, body: &Value) -> Value {
        let (status, answer) = self.post(INFER, body);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Returns the reason why an inference request is refused.
    #[track_caller]
    fn refusal(&mut self, header: Option<&str>, body: &[u8]) -> String {
        let response = respond(self.send("POST", INFER, header, body));
        let answer = json_of(&response);
        assert_eq!(response.status, 400, "{answer}");
        assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
        answer["error"].as_str().unwrap().to_owned()
    }
}

#[track_caller]
fn respond(outcome: Outcome) -> Response {
    let Outcome::Respond(response) = outcome else { panic!("no response") };
    response
}

fn json_of(response: &Response) -> Value {
    let header = header(response, "inference-header-content-length");
    let length = header.map_or(response.body.len(), |length| length.parse().unwrap());
    serde_json::from_slice(&response.body[..length]).unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

/// Returns the numbers after the JSON of a response.
fn binary_of(response: &Response) -> Vec<f32> {
    let start = header(response, "inference-header-content-length").unwrap().parse::<usize>().unwrap();
    response.body[start..].chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// An inference request for these states, in FP32 and as lists of rows.
fn request(states: &Value, parameters: &Value) -> Value {
    let shape = [states.as_array().unwrap().len(), states[0].as_array().unwrap().len()];
    json!({
        "inputs": [{ "name": "state", "shape": shape, "datatype": "FP32", "data": states }],
        "parameters": parameters,
    })
}

fn f32s(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The output of this name.
#[track_caller]
fn output<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let outputs = answer["outputs"].as_array().unwrap();
    outputs.iter().find(|output| output["name"] == name).unwrap_or_else(|| panic!("no {name} in {answer}"))
}
