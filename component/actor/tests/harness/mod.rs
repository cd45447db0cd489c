//! Loads checkpoints natively, as a component's owner does, and asks what they compute.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::path::Path;

use sac_actor::{
    Activation, Backend, Body, Bounds, Checkpoint, File, Instant, OnRefusal, OperatorFacts, Outcome, Request,
    RequestContext, Response, RouterConfig, Service, Sidecar, SidecarKind,
};
use serde_json::{Value, json};

/// No facts: a file says all by itself, or is refused.
pub const NOTHING: OperatorFacts = OperatorFacts { activation: None, action_bounds: None };

/// ReLU, and actions within -1 and 1, for files that do not say otherwise.
pub fn relu_and_unit() -> OperatorFacts {
    OperatorFacts {
        activation: Some(Activation::Relu),
        action_bounds: Some(Bounds { low: vec![-1.0], high: vec![1.0] }),
    }
}

/// The context of a request without a token, for a component that takes its time.
pub const MAY_BLOCK: RequestContext = RequestContext {
    tokens: vec![],
    refusal: None,
    absence: None,
    reloaded: None,
    may_block: true,
    wants_decision: false,
};

/// A request without a token.
pub fn request(method: &str, path: &str, body: impl Into<Vec<u8>>) -> Request {
    Request {
        method: method.into(),
        path: path.into(),
        authorization: None,
        inference_header_content_length: None,
        body: Body::Complete(body.into()),
    }
}

/// A config with room for large batches, with the facts that bare files lack.
pub fn config(splits: bool) -> RouterConfig {
    RouterConfig {
        name: "policy".into(),
        optimised: true,
        operator_facts: relu_and_unit(),
        on_refusal: OnRefusal::Keep,
        max_batch: 4096,
        max_body_bytes: 1 << 24,
        splits,
    }
}

/// A service of a file in `tests/data` or of the demo.
pub fn service(file: &str, splits: bool) -> Service {
    let mut service = Service::new(config(splits));
    service.load(checkpoint(), read(&sac_test_support::path(file)), None).expect("it loads");
    service
}

/// A policy that is loaded.
pub struct Actor(Service);

impl Actor {
    pub fn load(file: File, facts: OperatorFacts) -> Result<Actor, String> {
        Actor::load_on(file, facts, None)
    }

    pub fn load_on(file: File, operator_facts: OperatorFacts, backend: Option<Backend>) -> Result<Actor, String> {
        let (on_refusal, max_batch, max_body_bytes) = (OnRefusal::Keep, 4096, 1 << 20);
        let splits = false;
        let config = RouterConfig {
            name: "policy".into(),
            optimised: true,
            operator_facts,
            on_refusal,
            max_batch,
            max_body_bytes,
            splits,
        };
        let mut service = Service::new(config);
        service.load(checkpoint(), file, backend).map_err(|error| format!("{error:#}"))?;
        Ok(Actor(service))
    }

    pub fn ask(&mut self, method: &str, path: &str, body: &Value) -> Value {
        self.try_ask(method, path, body).unwrap_or_else(|status| panic!("{path} is answered with {status}"))
    }

    pub fn try_ask(&mut self, method: &str, path: &str, body: &Value) -> Result<Value, u16> {
        match self.0.answer(&request(method, path, body.to_string()), &MAY_BLOCK) {
            Outcome::Respond(Response { status: 200, body, .. }) => {
                Ok(serde_json::from_slice(&body).expect("an answer is JSON"))
            }
            Outcome::Respond(Response { status, .. }) => Err(status),
            _ => panic!("{path} is not answered"),
        }
    }

    pub fn info(&mut self) -> Value {
        self.ask("GET", "/sac/model/info", &json!({}))
    }

    /// Returns the deterministic action for a state.
    pub fn act(&mut self, state: &[f64]) -> Result<Vec<f64>, u16> {
        self.try_ask("POST", "/sac/predict", &json!({ "state": state })).map(|answer| list(&answer["action"]))
    }
}

pub fn checkpoint() -> Checkpoint {
    let epoch = Instant { seconds: 0, nanoseconds: 0 };
    Checkpoint { path: "/c".into(), modified: epoch, loaded: epoch, sha256: None, generation: 1 }
}

/// A file with nothing beside it.
pub fn bare(bytes: Vec<u8>) -> File {
    File { bytes, sidecars: vec![] }
}

/// Reads a file and what stands beside it under the names that an owner looks for.
pub fn read(path: &Path) -> File {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
    let stem = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem).to_owned();
    let mut sidecars = vec![];
    let mut add = |kind, names: &[String]| {
        let found = names.iter().find_map(|name| Some((name, fs::read(path.with_file_name(name)).ok()?)));
        sidecars.extend(found.map(|(name, bytes)| Sidecar { kind, name: name.clone(), bytes }));
    };
    add(SidecarKind::Card, &[format!("{name}.policy.json")]);
    let is_torch = !name.ends_with(".onnx");
    let steps = stem.rsplitn(3, '_').collect::<Vec<_>>();
    let of_callback = match steps[..] {
        [_, steps, prefix] => format!("{prefix}_vecnormalize_{steps}_steps.pkl"),
        _ => String::from("none"),
    };
    if is_torch {
        let names = [
            format!("{name}.vecnormalize.pkl"),
            "vecnormalize.pkl".to_owned(),
            "vec_normalize.pkl".to_owned(),
            format!("{stem}/vecnormalize.pkl"),
            of_callback,
        ];
        add(SidecarKind::Vecnormalize, &names);
    } else {
        add(SidecarKind::ExternalData, &[format!("{name}.data")]);
    }
    File { bytes, sidecars }
}

pub fn list(value: &Value) -> Vec<f64> {
    match value.as_f64() {
        Some(number) => vec![number],
        None => serde_json::from_value(value.clone()).expect("a number or a list of numbers"),
    }
}
