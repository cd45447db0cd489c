//! Requests of any method, path, headers and body, to the real component in the host.

use bytes::Bytes;
use fastrand::Rng;
use http::Request;
use http_body_util::{BodyExt, Full};
use sac_serving::{Config, SacService, Source, Tokens};
use sac_tests::{cache_dir, checkpoint, patient_sandbox, publish};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::cases::Tally;
use crate::mutation::{mutate, pick};
use crate::{cases, contract};

const METHODS: &[&str] = &["GET", "POST", "POST", "POST", "POST", "HEAD", "PUT", "OPTIONS", "get", "X"];
const PATHS: &[&str] = &[
    "/sac/predict",
    "/sac/predict",
    "/sac/predict/batch",
    "/sac/predict/batch",
    "/sac/benchmark",
    "/sac/health",
    "/sac/model/info",
    "/sac/model/reload",
    "/sac/",
    "/sac/predict/",
    "/sac//predict",
    "/sac/%70redict?state=1",
];
const BODIES: &[&str] = &[
    r#"{"state":[0.1,-0.2,0.3]}"#,
    r#"{"state":[1,2,3],"deterministic":false,"seed":18446744073709551615}"#,
    r#"{"states":[[0.1,0.2,0.3],[1e38,-1e38,3.4028235e38]],"deterministic":true}"#,
    r#"{"states":[[0,0,0]],"deterministic":false,"seed":null}"#,
    r#"{"state":[0.5]}"#,
    r#"{"states":[[1,2,3],[4,5]]}"#,
    r#"{"warmup":0,"iterations":3,"batch_size":2}"#,
    "{}",
    "[]",
    "null",
    "",
];
/// Words that JSON readers stumble over.
const WORDS: &[&str] = &[
    "NaN",
    "Infinity",
    "-0",
    "1e39",
    "1e309",
    "-1",
    "1.5",
    "0.1e-400",
    "null",
    "true",
    "[]",
    "[[",
    "{}",
    "{",
    "}",
    "]",
    "\"",
    ",",
    ":",
    "\\ud800",
    "\\u0000",
    "\"state\":",
    "\"states\":",
    "\"seed\":",
    "18446744073709551616",
    "\u{feff}",
    "\"x\":{\"y\":[",
    "99999999",
];
const AUTHORIZATIONS: &[&str] = &[
    "Bearer token",
    "Bearer token",
    "Bearer token",
    "Bearer tokens",
    "bearer token",
    "Bearer",
    "token",
    "Bearer  token",
    "",
];

#[test]
fn every_request_has_an_answer_of_the_contract() {
    let runtime = Runtime::new().unwrap();
    let (folder, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let open = service(&folder, Tokens::default());
    let locked = service(&folder, Tokens::new(["token".to_owned()]));
    let without = service(&empty, Tokens::default());
    let mut tally = Tally::default();
    cases::run("request", 60_000, |rng| {
        let (service, is_loaded) =
            *[(&open, true), (&open, true), (&locked, true), (&without, false)].get(rng.usize(..4)).unwrap();
        let (method, path) = (pick(rng, METHODS), pick(rng, PATHS));
        let body = body(rng);
        // These take long, so that a few of them are enough.
        if (path == "/sac/model/reload" && rng.u8(..) > 2) || (path == "/sac/benchmark" && is_long(&body)) {
            return;
        }
        let mut request = Request::builder().method(method).uri(path);
        if rng.bool() {
            request = request.header("authorization", pick(rng, AUTHORIZATIONS));
        }
        if rng.u8(..8) == 0 {
            request = request.header("content-length", pick(rng, &["0", "1", "99999999", "x", "-1"]));
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let (status, body) = runtime.block_on(async {
            let (parts, body) = service.respond(request).await.into_parts();
            (parts.status.as_u16(), body.collect().await.unwrap().to_bytes())
        });
        tally.count(format!("{path} {status}"));
        contract::check(path.split('?').next().unwrap(), status, &body, is_loaded);
    });
    let answers = [
        ("/sac/predict", &[200, 400, 401, 405, 413, 422, 503][..]),
        ("/sac/predict/batch", &[200, 400, 401, 405, 413, 422, 503]),
        ("/sac/benchmark", &[200, 401, 405, 413, 422, 503]),
        ("/sac/model/info", &[200, 401, 405, 503]),
        ("/sac/model/reload", &[200, 401]),
        ("/sac/health", &[200, 405, 503]),
        ("/sac//predict", &[404]),
    ];
    let seen =
        answers.iter().flat_map(|(path, statuses)| statuses.iter().map(move |status| format!("{path} {status}")));
    let seen = seen.collect::<Vec<_>>();
    tally.expect(&seen.iter().map(String::as_str).collect::<Vec<_>>());
}

fn service(folder: &TempDir, tokens: Tokens) -> SacService {
    let source = Source::new(None, Some(folder.path()), None);
    let (cache_dir, sandbox) = (Some(cache_dir()), patient_sandbox());
    let config = Config { source, tokens, cache_dir, sandbox, max_body_bytes: 1 << 16, ..Config::default() };
    SacService::new(config).unwrap()
}

fn body(rng: &mut Rng) -> Vec<u8> {
    let mut body = pick(rng, BODIES).as_bytes().to_vec();
    match rng.u8(..4) {
        0 => {}
        1 => {
            let other = pick(rng, BODIES).as_bytes();
            mutate(rng, &mut body, other);
        }
        _ => {
            for _ in 0..rng.usize(1..4) {
                let place = rng.usize(0..=body.len());
                let end = body.len().min(place + rng.usize(0..8));
                body.splice(place..end, pick(rng, WORDS).bytes());
            }
        }
    }
    if rng.u8(..) == 0 {
        body = body.repeat(rng.usize(1..3000));
    }
    body
}

fn is_long(body: &[u8]) -> bool {
    let Ok(json) = serde_json::from_slice::<Value>(body) else { return false };
    let number = |key: &str, default| json.get(key).map_or(default, |value| value.as_f64().unwrap_or(0.0));
    (number("iterations", 1000.0) + number("warmup", 50.0)) * number("batch_size", 1.0) > 100.0
}
