use serde_json::Value;

const ORIGIN: [&str; 3] = ["jit_compiled", "model_mtime_utc", "model_path"];
/// In the order of the alphabet, as the others.
const INFO: [&str; 21] = [
    "action_dim",
    "action_high",
    "action_low",
    "activation",
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
];
/// An answer repeats no more of a request or a file than this.
const MOST_BYTES_OF_AN_ERROR: usize = 64 << 10;

/// The keys of a 200.
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

/// That an answer is one of the contract's, whatever was asked.
pub fn check(path: &str, status: u16, body: &[u8], is_loaded: bool) {
    let told = String::from_utf8_lossy(body);
    let json = serde_json::from_slice::<Value>(body).unwrap_or_else(|error| panic!("{error}: {told}"));
    if status == 200 {
        let found = json.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(found, keys(path), "{path}: {told}");
        let actions = json.get("action").or(json.get("actions"));
        assert!(!actions.is_some_and(|actions| actions.to_string().contains("null")), "{told}");
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
                assert!(issue["loc"].is_array() && issue["msg"].is_string() && issue["type"].is_string(), "{told}");
            }
        }
        400 | 401 | 404 | 405 | 413 => assert!(!detail.as_str().unwrap().is_empty(), "{told}"),
        // Weights times the largest of states.
        500 if is_loaded => assert!(detail.as_str().unwrap().contains("not finite"), "{told}"),
        503 if !is_loaded => assert_eq!(detail, "No SAC model loaded"),
        _ => panic!("{status} of {path}: {told}"),
    }
}
