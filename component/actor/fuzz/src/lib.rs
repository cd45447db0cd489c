//! The code that the fuzz targets share: it turns an input into a file, loads it, and tells findings from other panics.

mod input;
#[path = "../../../../tests/fuzz/memory.rs"]
mod memory;
mod panics;

use std::fmt::{Debug, Display};

pub use input::file;
pub use panics::{contain, install};
use sac_actor::{
    Activation, Backend, Body, Bounds, Checkpoint, File, Instant, OnRefusal, OperatorFacts, Outcome, Request,
    RequestContext, Response, RouterConfig, Service, Sidecar,
};

/// The memory that an instance may have.
const MOST_MEMORY: usize = 256 << 20;
/// Larger bodies are not read.
pub const MAX_BODY_BYTES: u64 = 4 << 10;

/// Returns the facts that a file without facts of its own needs.
pub fn usual_facts() -> OperatorFacts {
    let unit = Bounds { low: vec![-1.0], high: vec![1.0] };
    OperatorFacts { activation: Some(Activation::Relu), action_bounds: Some(unit) }
}

/// Returns no facts.
pub fn no_facts() -> OperatorFacts {
    OperatorFacts { activation: None, action_bounds: None }
}

/// Loads a file. If it loads, it must act, and its conversion to ONNX must act too. If it is refused, a card of it is written.
/// Panics in tract are contained.
pub fn check(file: &File, facts: &OperatorFacts) {
    let length = file.bytes.len() + file.sidecars.iter().map(|sidecar| sidecar.bytes.len()).sum::<usize>();
    let (_, peak) = memory::peak_of(|| contain(|| run(file, facts)));
    assert!(peak < MOST_MEMORY, "{peak} bytes for an input of {length}");
}

fn run(file: &File, facts: &OperatorFacts) {
    match load(file, facts, None) {
        Ok((mut service, state_dim)) => {
            acts(&mut service, state_dim);
            let converted = Service::convert(file.clone(), facts).expect("a file that loads converts");
            let alone = File { bytes: converted, sidecars: vec![] };
            let (mut service, state_dim) = load(&alone, &no_facts(), None).expect("what it converts to loads");
            acts(&mut service, state_dim);
        }
        Err(error) => {
            assert!(!format!("{error:#}").trim().is_empty());
            match Service::card(file.clone(), facts) {
                Ok(card) => assert!(serde_json::from_str::<serde_json::Value>(&card).is_ok(), "{card}"),
                Err(error) => assert!(!format!("{error:#}").trim().is_empty()),
            }
        }
    }
}

/// Loads a file. Returns the service and the length of a state.
pub fn load(
    file: &File,
    facts: &OperatorFacts,
    backend: Option<Backend>,
) -> Result<(Service, u32), impl Display + Debug> {
    let mut service = Service::new(RouterConfig {
        name: "policy".into(),
        optimised: true,
        operator_facts: facts.clone(),
        on_refusal: OnRefusal::Keep,
        max_batch: 16,
        max_body_bytes: MAX_BODY_BYTES,
        splits: false,
    });
    let epoch = Instant { seconds: 0, nanoseconds: 0 };
    let checkpoint =
        Checkpoint { path: "/c".into(), modified: epoch, loaded: epoch, sha256: String::new(), generation: 1 };
    service.load(checkpoint, file.clone(), backend).map(|policy| (service, policy.state_dim))
}

fn acts(service: &mut Service, state_dim: u32) {
    let zeros = vec!["0"; state_dim as usize].join(",");
    let body = Body::Complete(format!("{{\"state\":[{zeros}]}}").into_bytes());
    let request = Request { method: "POST".into(), path: "/sac/predict".into(), authorization: None, inference_header_content_length: None, body };
    let response = answer(service, &request, &context(vec![], true)).expect("an answer");
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
}

/// Returns the context of a request to a server with these tokens.
pub fn context(tokens: Vec<String>, may_block: bool) -> RequestContext {
    RequestContext { tokens, refusal: None, absence: None, reloaded: None, may_block, wants_decision: false }
}

/// Answers a request. Returns `None` for an outcome that is no response.
pub fn answer(service: &mut Service, request: &Request, context: &RequestContext) -> Option<Response> {
    match service.answer(request, context) {
        Outcome::Respond(response) => Some(response),
        Outcome::Reload | Outcome::Long | Outcome::Benchmark | Outcome::Split(_) => None,
    }
}

/// Puts one sidecar beside a checkpoint.
pub fn beside(checkpoint: &[u8], sidecar: Sidecar) -> File {
    File { bytes: checkpoint.to_vec(), sidecars: vec![sidecar] }
}
