//! Checks that an answer fits the HTTP contract.

use serde_json::Value;

const ORIGIN: [&str; 3] = ["jit_compiled", "model_mtime_utc", "model_path"];
/// In alphabetical order, like the others.
const INFO: [&str; 23] = [
    "action_dim",
    "action_high",
    "action_low",
    "activation",
    "facts",
    "format",
    "generation",
    "jit_compiled",
    "last_error",
    "layout",
    "loaded_at_utc",
    "mtime_utc",
    "observation_high",
    "observation_low",
    "observations_normalised",
    "path",
    "plan",
    "sha256",
    "size_bytes",
    "stale",
    "state_dim",
    "stochastic",
    "verified_examples",
];
/// An error repeats no more of a request or a file than this.
const MOST_BYTES_OF_AN_ERROR: usize = 64 << 10;

/// The fields of a 200.
fn keys(path: &str) -> Vec<&'static str> {
    let own: &[&str] = match path {
        "/sac/health" => return vec!["model_loaded", "status"],
        "/sac/predict" => &["action", "latency_ms"],
        "/sac/predict/batch" => &["actions", "batch_size", "latency_ms"],
        "/sac/benchmark" => &[
            "batch_size",
            "iterations",
            "max_ms",
            "mean_ms",
            "min_ms",
            "p50_ms",
            "p90_ms",
            "p95_ms",
            "p99_ms",
            "throughput_per_s",
            "warmup",
        ],
        "/sac/model/info" | "/sac/model/reload" => return INFO.to_vec(),
        _ => panic!("200 of {path}"),
    };
    let mut keys = [own, &ORIGIN].concat();
    keys.sort_unstable();
    keys
}

/// Checks that an answer fits the contract, whatever the request was.
pub fn check(path: &str, status: u16, body: &[u8], is_loaded: bool) {
    if path.starts_with("/v2") {
        return check_inference(path, status, body, is_loaded);
    }
    let text = String::from_utf8_lossy(body);
    let json = serde_json::from_slice::<Value>(body).unwrap_or_else(|error| panic!("{error}: {text}"));
    if status == 200 {
        let found = json.as_object().unwrap().keys().map(String::as_str);
        // Health says why no newer file can be seen, if there is a reason.
        let found = found.filter(|key| path != "/sac/health" || *key != "detail").collect::<Vec<_>>();
        assert_eq!(found, keys(path), "{path}: {text}");
        let actions = json.get("action").or(json.get("actions"));
        assert!(!actions.is_some_and(|actions| actions.to_string().contains("null")), "{text}");
        return;
    }
    assert!(body.len() < MOST_BYTES_OF_AN_ERROR, "{} bytes", body.len());
    if path == "/sac/health" && status == 503 {
        assert_eq!(json["status"], "no_model");
        return;
    }
    let detail = &json["detail"];
    match status {
        422 => {
            for issue in detail.as_array().unwrap() {
                assert!(issue["loc"].is_array() && issue["msg"].is_string() && issue["type"].is_string(), "{text}");
            }
        }
        400 | 401 | 404 | 405 | 413 => assert!(!detail.as_str().unwrap().is_empty(), "{text}"),
        // Large weights times the largest states.
        500 if is_loaded => assert!(detail.as_str().unwrap().contains("not finite"), "{text}"),
        503 if !is_loaded => assert_eq!(detail, "No SAC model loaded"),
        _ => panic!("{status} of {path}: {text}"),
    }
}

/// Checks that an answer fits the Open Inference Protocol.
fn check_inference(path: &str, status: u16, body: &[u8], is_loaded: bool) {
    let text = String::from_utf8_lossy(body);
    if status == 200 {
        // Binary tensors may follow.
        assert!(text.starts_with('{'), "{text}");
        return;
    }
    assert!(body.len() < MOST_BYTES_OF_AN_ERROR, "{} bytes", body.len());
    let json = serde_json::from_slice::<Value>(body).unwrap_or_else(|error| panic!("{error}: {text}"));
    match status {
        503 if path.ends_with("/ready") => assert_eq!(json["ready"], false),
        400 | 401 | 404 | 405 | 413 | 500 => assert!(!json["error"].as_str().unwrap().is_empty(), "{text}"),
        503 if !is_loaded => assert!(!json["error"].as_str().unwrap().is_empty(), "{text}"),
        _ => panic!("{status} of {path}: {text}"),
    }
}
