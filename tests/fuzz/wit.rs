//! Calls with any values that the types of `wit/serving.wit` allow, natively by the types that are generated from it.

use fastrand::Rng;
use sac_actor::{
    Activation, Backend, Body, Bounds, Checkpoint, File, Instant, OnRefusal, OperatorFacts, Outcome, Refusal, Request,
    RequestContext, RouterConfig, Service, Sidecar, SidecarKind,
};
use sac_tests::{checkpoint, file};

use crate::cases::Tally;
use crate::mutation::pick;
use crate::{cases, contract};

const TEXTS: &[&str] = &["", " ", "/", "token", "\0", "\u{202e}ü\u{10ffff}", "a\r\nb: c", "\"", "{}"];
const PATHS: &[&str] = &[
    "/sac/health",
    "/sac/model/info",
    "/sac/model/reload",
    "/sac/predict",
    "/sac/predict/batch",
    "/sac/benchmark",
    "/v2",
    "/v2/health/ready",
    "/v2/models/sac",
    "/v2/models/sac/infer",
    "/v2/models/sac/infer",
    "/v2/models/sac/versions/1/infer",
    "",
    "*",
];
const BODIES: &[&str] = &[
    r#"{"state":[0.1,0.2,0.3]}"#,
    r#"{"states":[[0.1,0.2,0.3],[1,2,3]],"deterministic":false}"#,
    r#"{"warmup":0,"iterations":2,"batch_size":3}"#,
    r#"{"inputs":[{"name":"state","shape":[1,3],"datatype":"FP32","data":[0.1,0.2,0.3]}]}"#,
    r#"{"inputs":[{"name":"state","shape":[2,3],"datatype":"FP64","data":[[0,1,2],[3,4,5]]}],"parameters":{"binary_data_output":true}}"#,
    "{\"inputs\":[{\"name\":\"state\",\"shape\":[3],\"datatype\":\"FP32\",\"parameters\":{\"binary_data_size\":12}}]}............",
    "{}",
    "\u{feff}",
];
/// Values of the header Inference-Header-Content-Length. The third body with inputs has a header of 96 bytes.
const LENGTHS: &[&str] = &["96", "0", "-1", "18446744073709551616", ""];

#[test]
fn whatever_an_owner_hands_over_has_an_outcome_of_the_contract() {
    let files = [
        checkpoint("pendulum_00500"),
        file("pendulum_00500.cleanrl.pt"),
        file("torch/f64.pt"),
        b"broken".to_vec(),
        vec![],
    ];
    let mut service = (Service::new(config(&mut Rng::with_seed(0))), false);
    let mut tally = Tally::default();
    cases::run("whatever_an_owner", 40_000, |rng| match rng.u8(..) {
        0 => service = (Service::new(config(rng)), false),
        1..4 => {
            let bytes = files[rng.usize(..files.len())].clone();
            let file = File { bytes, sidecars: sidecars(rng) };
            let backend = *[None, Some(Backend::Kernel), Some(Backend::Tract)].get(rng.usize(..3)).unwrap();
            service.1 |= service.0.load(description(rng), file, backend).is_ok();
        }
        _ => tally.count(ask(rng, &mut service.0, service.1)),
    });
    tally.expect(&["200", "400", "401", "404", "405", "413", "422", "500", "503", "reload", "benchmark"]);
}

/// Sends a random request. Returns the outcome.
fn ask(rng: &mut Rng, service: &mut Service, is_loaded: bool) -> String {
    let request = request(rng);
    let context = context(rng);
    let is_authorized = context.tokens.is_empty()
        || request
            .authorization
            .as_deref()
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|token| context.tokens.iter().any(|valid| valid == token));
    let is_reload = request.path == "/sac/model/reload" && request.method == "POST";
    match service.answer(&request, &context) {
        Outcome::Respond(response) => {
            // A 500 has the detail of the refusal, which is random here.
            if response.status != 500 {
                contract::check(&request.path, response.status, &response.body, is_loaded);
            }
            let is_public = ["/health", "/health/live", "/ready"].iter().any(|end| request.path.ends_with(end));
            let needs_token = ![401, 404, 405, 413].contains(&response.status) && !is_public;
            assert!(is_authorized || !needs_token, "{} of {} without a token", response.status, request.path);
            let headers = response.headers.iter().all(|(name, _)| *name == name.to_lowercase());
            assert!(headers && (100..600).contains(&response.status));
            response.status.to_string()
        }
        Outcome::Reload => {
            assert!(is_reload && is_authorized && context.reloaded.is_none());
            "reload".to_owned()
        }
        Outcome::Split(batch) => {
            assert!(is_authorized && !batch.states.is_empty());
            let mut outcome = Outcome::Split(batch);
            // A benchmark goes on.
            while let Outcome::Split(batch) = outcome {
                let outputs = service.forward(&batch).unwrap();
                outcome = service.finish(outputs);
            }
            assert!(matches!(outcome, Outcome::Respond(_)));
            "split".to_owned()
        }
        outcome @ (Outcome::Long | Outcome::Benchmark) => {
            assert!(!context.may_block && is_authorized);
            if matches!(outcome, Outcome::Long) { "long" } else { "benchmark" }.to_owned()
        }
    }
}

fn config(rng: &mut Rng) -> RouterConfig {
    RouterConfig {
        name: "sac".to_owned(),
        optimised: rng.bool(),
        operator_facts: facts(rng),
        on_refusal: if rng.bool() { OnRefusal::Keep } else { OnRefusal::Fail },
        max_batch: [0, 1, 64, u32::MAX][rng.usize(..4)],
        max_body_bytes: [0, 64, u64::MAX][rng.usize(..3)],
        splits: rng.bool(),
    }
}

fn facts(rng: &mut Rng) -> OperatorFacts {
    const NUMBERS: [f64; 8] = [0.0, -0.0, -1.0, 1.0, f64::MAX, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY];
    let side = |rng: &mut Rng| (0..rng.usize(..3)).map(|_| NUMBERS[rng.usize(..NUMBERS.len())]).collect::<Vec<_>>();
    let bounds = match rng.u8(..4) {
        0 => None,
        1 => Some(Bounds { low: side(rng), high: side(rng) }),
        _ => Some(Bounds { low: vec![-1.0], high: vec![1.0] }),
    };
    let activation = [None, Some(Activation::Tanh), Some(Activation::Relu)][rng.usize(..3)];
    OperatorFacts { activation, action_bounds: bounds }
}

fn sidecars(rng: &mut Rng) -> Vec<Sidecar> {
    const KINDS: [SidecarKind; 4] =
        [SidecarKind::Card, SidecarKind::FolderCard, SidecarKind::Vecnormalize, SidecarKind::ExternalData];
    const CONTENTS: &[&str] =
        &["", "{}", r#"{"activation":"relu","action_bounds":"unit"}"#, "\0\0\0\0\0\0\0\0\0", r#"{"examples":[{}]}"#];
    let count = if rng.bool() { 0 } else { rng.usize(..4) };
    let sidecar = |_| Sidecar {
        kind: KINDS[rng.usize(..KINDS.len())],
        name: pick(rng, &["policy.json", "", "../policy.json", "a.data"]).to_owned(),
        bytes: pick(rng, CONTENTS).as_bytes().to_vec(),
    };
    (0..count).map(sidecar).collect()
}

fn text(rng: &mut Rng) -> String {
    let text = pick(rng, TEXTS);
    if rng.u8(..64) == 0 { text.repeat(10_000) } else { text.to_owned() }
}

fn instant(rng: &mut Rng) -> Instant {
    Instant {
        seconds: [0, 1, -1, 1_700_000_000, i64::MAX, i64::MIN, -62_135_596_801, 253_402_300_800][rng.usize(..8)],
        nanoseconds: [0, 1, 999_999_999, 1_000_000_000, u32::MAX][rng.usize(..5)],
    }
}

fn description(rng: &mut Rng) -> Checkpoint {
    let generation = [0, 1, u64::MAX][rng.usize(..3)];
    let sha256 = rng.bool().then(|| text(rng));
    Checkpoint { path: text(rng), modified: instant(rng), loaded: instant(rng), sha256, generation }
}

fn request(rng: &mut Rng) -> Request {
    let method = pick(rng, &["GET", "POST", "POST", "POST", "HEAD", "", "\0"]).to_owned();
    let path = if rng.u8(..8) == 0 { text(rng) } else { pick(rng, PATHS).to_owned() };
    let authorization = rng.bool().then(|| format!("Bearer {}", text(rng)));
    let body = match rng.u8(..8) {
        0 => Body::OverLimit,
        1 => Body::Complete(text(rng).into_bytes()),
        _ => Body::Complete(pick(rng, BODIES).as_bytes().to_vec()),
    };
    let inference_header_content_length = (rng.u8(..4) == 0).then(|| pick(rng, LENGTHS).to_owned());
    Request { method, path, authorization, inference_header_content_length, body }
}

fn context(rng: &mut Rng) -> RequestContext {
    let tokens = (0..rng.usize(..3)).map(|_| text(rng)).collect();
    let refusal = (rng.u8(..4) == 0).then(|| Refusal {
        path: text(rng),
        modified: instant(rng),
        detail: text(rng),
        at: instant(rng),
    });
    let reloaded = match rng.u8(..4) {
        0 => Some(Ok(())),
        1 => Some(Err(text(rng))),
        _ => None,
    };
    let absence = (rng.u8(..4) == 0).then(|| text(rng));
    RequestContext { tokens, refusal, absence, reloaded, may_block: rng.bool(), wants_decision: false }
}
