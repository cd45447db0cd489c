//! The HTTP contract: every route and every status, answered by both owners.

use std::fs::File;
use std::process::Command;
use std::time::{Duration, SystemTime};

use http::Method;
use sac_tests::{Client, Owner, Server, Settings, checkpoint, every_owner, odd, publish};
use serde_json::{Value, json};
use tempfile::tempdir;

const STATE: [f64; 3] = [0.3, -0.4, 0.5];

/// The routes, and the methods that they allow.
const ROUTES: [(&str, &str); 6] = [
    ("/sac/health", "GET, HEAD"),
    ("/sac/model/info", "GET, HEAD"),
    ("/sac/model/reload", "POST"),
    ("/sac/predict", "POST"),
    ("/sac/predict/batch", "POST"),
    ("/sac/benchmark", "POST"),
];

#[track_caller]
fn assert_keys(value: &Value, keys: &[&str]) {
    let mut found = value.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
    let mut keys = keys.to_vec();
    found.sort();
    keys.sort();
    assert_eq!(found, keys);
}

every_owner!(the_sha256_is_that_of_the_file_whatever_its_age);
async fn the_sha256_is_that_of_the_file_whatever_its_age(owner: Owner) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model_a.onnx");
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    for (name, age) in [("pendulum_00500", 3600), ("pendulum_02000", 0)] {
        publish(&path, &checkpoint(name));
        File::open(&path).unwrap().set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        client.predict(&STATE).await;
        let output = Command::new("sha256sum").arg(&path).output().unwrap();
        for _ in 0..2 {
            let info = client.info().await;
            let sha256 = info["sha256"].as_str().unwrap();
            assert!(sha256.len() == 64 && output.stdout.starts_with(sha256.as_bytes()), "{name}: {sha256}");
        }
    }
}

every_owner!(a_200_has_exactly_the_fields_of_the_contract);
async fn a_200_has_exactly_the_fields_of_the_contract(owner: Owner) {
    const INFO: [&str; 23] = [
        "path",
        "mtime_utc",
        "loaded_at_utc",
        "format",
        "layout",
        "activation",
        "action_low",
        "action_high",
        "observation_low",
        "observation_high",
        "observations_normalised",
        "size_bytes",
        "sha256",
        "state_dim",
        "action_dim",
        "facts",
        "verified_examples",
        "stochastic",
        "jit_compiled",
        "plan",
        "generation",
        "stale",
        "last_error",
    ];
    const ORIGIN: [&str; 3] = ["model_path", "model_mtime_utc", "jit_compiled"];
    let folder = tempdir().unwrap();
    let path = folder.path().join("model_a.onnx");
    publish(&path, &checkpoint("pendulum_00500"));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;

    let health = client.get("/sac/health").await;
    assert_eq!(health.header("content-type"), Some("application/json"));
    assert_eq!(health.ok(), json!({"status": "ok", "model_loaded": true}));

    let info = client.info().await;
    assert_keys(&info, &INFO);
    assert_eq!(info["path"], path.to_str().unwrap());
    assert_eq!((&info["format"], &info["state_dim"], &info["action_dim"]), (&json!("onnx"), &json!(3), &json!(1)));
    assert_eq!((&info["stochastic"], &info["jit_compiled"]), (&json!(true), &json!(true)));
    assert_eq!(info["size_bytes"], checkpoint("pendulum_00500").len());
    assert_eq!((&info["generation"], &info["stale"], &info["last_error"]), (&json!(1), &json!(false), &json!(null)));
    for key in ["mtime_utc", "loaded_at_utc"] {
        assert!(info[key].as_str().unwrap().ends_with("+00:00"), "{info}");
    }
    assert_keys(&client.post("/sac/model/reload", json!({})).await.ok(), &INFO);

    let prediction = client.predict(&STATE).await;
    assert_keys(&prediction, &[&ORIGIN[..], &["action", "latency_ms"]].concat());
    assert_eq!(prediction["model_mtime_utc"], info["mtime_utc"]);
    let batch = client.post("/sac/predict/batch", json!({"states": [STATE, STATE]})).await.ok();
    assert_keys(&batch, &[&ORIGIN[..], &["actions", "batch_size", "latency_ms"]].concat());
    assert_eq!(batch["actions"], json!([prediction["action"], prediction["action"]]));
    let report = client.post("/sac/benchmark", json!({"iterations": 2})).await.ok();
    let times = ["p50_ms", "p90_ms", "p95_ms", "p99_ms", "mean_ms", "min_ms", "max_ms"];
    let counts = ["iterations", "warmup", "batch_size", "throughput_per_s"];
    assert_keys(&report, &[&ORIGIN[..], &times, &counts].concat());

    publish(&path, &odd("two_action_dims"));
    let prediction = client.predict(&STATE).await;
    assert_eq!(prediction["action"].as_array().unwrap().len(), 2, "an action of more than one dimension is a list");
    let batch = client.post("/sac/predict/batch", json!({"states": [STATE]})).await.ok();
    assert_eq!(batch["actions"], json!([prediction["action"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_as_get_without_the_body() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::folder(folder.path()).await;
    let answer = server.client().await.send(Method::HEAD, "/sac/health", "").await;
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("35")));
}

every_owner!(a_wrong_request_is_400);
async fn a_wrong_request_is_400(owner: Owner) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model_a.onnx");
    publish(&path, &checkpoint("pendulum_00500"));
    let server = Server::start(owner, &Settings { max_batch: 2, ..Settings::folder(folder.path()) }).await;
    let mut client = server.client().await;
    for (path, body, detail) in [
        ("predict", json!({"state": [1, 2]}), "state_dim mismatch: got 2, expected 3"),
        ("predict", json!({"state": []}), "state_dim mismatch: got 0, expected 3"),
        ("predict/batch", json!({"states": [STATE, [1]]}), "states[1]: state_dim mismatch: got 1, expected 3"),
        ("predict/batch", json!({"states": [STATE, STATE, STATE]}), "batch size over the limit: got 3, at most 2"),
        ("benchmark", json!({"iterations": 100_001}), "iterations over the limit: got 100001, at most 100000"),
        ("benchmark", json!({"warmup": 100_001}), "warmup over the limit: got 100001, at most 100000"),
        ("benchmark", json!({"batch_size": 3}), "batch_size over the limit: got 3, at most 2"),
    ] {
        assert_eq!(client.post(&format!("/sac/{path}"), body).await.detail(400), detail);
    }
    publish(&path, &odd("action_only"));
    assert_eq!(client.info().await["stochastic"], false);
    assert_eq!(client.predict(&STATE).await["action"], json!([3.0, -4.0, 5.0]), "an action is not squashed again");
    let answer = client.post("/sac/predict", json!({"state": STATE, "deterministic": false})).await;
    assert!(answer.detail(400).contains("deterministic only"), "{}", answer.json());
}

every_owner!(a_body_that_does_not_fit_the_schema_is_422_and_says_where);
async fn a_body_that_does_not_fit_the_schema_is_422_and_says_where(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    for (path, body, loc, issue_type) in [
        ("predict", "not json", json!(["body"]), "json_invalid"),
        ("predict", "", json!(["body"]), "missing"),
        ("predict", "[]", json!(["body"]), "model_attributes_type"),
        ("predict", "{}", json!(["body", "state"]), "missing"),
        ("predict", r#"{"state": [NaN]}"#, json!(["body"]), "json_invalid"),
        ("predict", r#"{"state": [1, Infinity, 2]}"#, json!(["body"]), "json_invalid"),
        ("predict", r#"{"state": [1, 2, 1e39]}"#, json!(["body", "state", 2]), "finite_number"),
        ("predict", r#"{"state": [1, 2, "3"]}"#, json!(["body", "state", 2]), "float_type"),
        ("predict", r#"{"state": [1, 2, 3], "seed": 1.5}"#, json!(["body", "seed"]), "int_type"),
        ("predict", r#"{"state": [1, 2, 3], "deterministic": 0}"#, json!(["body", "deterministic"]), "bool_type"),
        ("predict", "[[1, 2, 3]]", json!(["body"]), "model_attributes_type"),
        ("benchmark", "[]", json!(["body"]), "model_attributes_type"),
        ("predict/batch", r#"{"states": []}"#, json!(["body", "states"]), "too_short"),
        ("predict/batch", r#"{"states": [1]}"#, json!(["body", "states", 0]), "list_type"),
        ("benchmark", r#"{"iterations": 0}"#, json!(["body", "iterations"]), "greater_than_equal"),
        ("benchmark", r#"{"warmup": -1}"#, json!(["body", "warmup"]), "greater_than_equal"),
        ("benchmark", r#"{"batch_size": 0}"#, json!(["body", "batch_size"]), "greater_than_equal"),
    ] {
        let answer = client.send(Method::POST, &format!("/sac/{path}"), body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.json());
        let issue = &answer.json()["detail"][0];
        assert_eq!((&issue["loc"], issue["type"].as_str()), (&loc, Some(issue_type)), "{body}");
        assert_keys(issue, &["loc", "msg", "type"]);
    }
}

every_owner!(every_route_but_health_needs_the_token);
async fn every_route_but_health_needs_the_token(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let settings = Settings { token: Some("secret".into()), ..Settings::folder(folder.path()) };
    let server = Server::start(owner, &settings).await;
    for mut client in [server.client().await, server.client().await.with_token("wrong")] {
        for (path, allow) in ROUTES {
            let method = if allow == "POST" { Method::POST } else { Method::GET };
            let answer = client.send(method, path, "{}").await;
            if path == "/sac/health" {
                answer.ok();
            } else {
                assert_eq!(answer.detail(401), "missing or wrong bearer token", "{path}");
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            }
        }
    }
    let mut client = server.client().await.with_token("secret");
    client.predict(&STATE).await;
    client.info().await;
}

every_owner!(an_unknown_route_is_404_and_a_wrong_method_is_405);
async fn an_unknown_route_is_404_and_a_wrong_method_is_405(owner: Owner) {
    let folder = tempdir().unwrap();
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    for path in ["/sac/unknown", "/sac/predict/", "/sac/model", "/sac/"] {
        assert_eq!(client.get(path).await.detail(404), "Not Found", "{path}");
    }
    for (path, allow) in ROUTES {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            if !allow.contains(method.as_str()) {
                let answer = client.send(method, path, "").await;
                assert_eq!((answer.detail(405), answer.header("allow")), ("Method Not Allowed", Some(allow)), "{path}");
            }
        }
    }
}

every_owner!(if_several_statuses_apply_the_first_in_the_contracts_order_is_answered);
async fn if_several_statuses_apply_the_first_in_the_contracts_order_is_answered(owner: Owner) {
    let folder = tempdir().unwrap();
    let settings = Settings { token: Some("secret".into()), max_body_bytes: 64, ..Settings::folder(folder.path()) };
    let server = Server::start(owner, &settings).await;
    let large = vec![b' '; 65];
    let stranger = async || server.client().await;
    let known = async || server.client().await.with_token("secret");
    let send =
        async |mut client: Client, method, path, body: &[u8]| client.send(method, path, body.to_vec()).await.status;
    assert_eq!(send(stranger().await, Method::GET, "/sac/unknown", &large).await, 413);
    assert_eq!(send(stranger().await, Method::PUT, "/sac/unknown", b"").await, 404);
    assert_eq!(send(stranger().await, Method::PUT, "/sac/predict", b"").await, 405);
    assert_eq!(send(stranger().await, Method::POST, "/sac/predict", b"").await, 401);
    assert_eq!(send(known().await, Method::POST, "/sac/predict", b"").await, 422);
    assert_eq!(send(known().await, Method::POST, "/sac/predict", b"{\"state\": [1]}").await, 503);
    let path = folder.path().join("model_a.onnx");
    publish(&path, b"broken");
    assert_eq!(send(known().await, Method::POST, "/sac/predict", b"{\"state\": [1]}").await, 500);
    publish(&path, &checkpoint("pendulum_00500"));
    assert_eq!(send(known().await, Method::POST, "/sac/predict", b"{\"state\": [1]}").await, 400);
}

every_owner!(a_body_over_the_limit_is_413);
async fn a_body_over_the_limit_is_413(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(owner, &Settings { max_body_bytes: 1000, ..Settings::folder(folder.path()) }).await;
    let fits = format!("{:1000}", json!({"state": STATE}).to_string());
    server.client().await.send(Method::POST, "/sac/predict", fits).await.ok();
    // The second is more than sockets buffer: the client sees the answer only if the server reads on.
    for size in [1000, 12 << 20] {
        let body = json!({"state": STATE}).to_string() + &" ".repeat(size);
        let answer = server.client().await.send(Method::POST, "/sac/predict", body).await;
        assert_eq!(answer.detail(413), "request body over the limit of 1000 bytes");
        if owner.is_host() {
            assert_eq!(answer.header("connection"), Some("close"));
        }
    }
}

every_owner!(an_action_that_is_not_finite_is_500);
async fn an_action_that_is_not_finite_is_500(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &odd("overflows"));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    client.predict(&[1.0, 1.0, 1.0]).await;
    let answer = client.post("/sac/predict", json!({"state": [1, 10, 1]})).await;
    assert_eq!(answer.detail(500), "the action is not finite");
    let answer = client.post("/sac/predict/batch", json!({"states": [[1, 1, 1], [1, 10, 1]]})).await;
    assert_eq!(answer.detail(500), "states[1]: the action is not finite");
}

every_owner!(a_forced_reload_that_fails_is_500_and_the_model_in_service_stays);
async fn a_forced_reload_that_fails_is_500_and_the_model_in_service_stays(owner: Owner) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model_a.onnx");
    publish(&path, &checkpoint("pendulum_00500"));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    client.predict(&STATE).await;
    publish(&path, b"broken");
    let answer = client.post("/sac/model/reload", json!({})).await;
    assert!(answer.detail(500).starts_with("Checkpoint load failed: "), "{}", answer.json());
    client.predict(&STATE).await;
    assert_eq!(client.info().await["stale"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_of_a_fixed_batch_of_one_serves_larger_batches() {
    for name in ["fixed_batch", "two_action_dims"] {
        let folder = tempdir().unwrap();
        publish(&folder.path().join("model_a.onnx"), &odd(name));
        let server = Server::folder(folder.path()).await;
        let mut client = server.client().await;
        let states = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]];
        let batch = client.post("/sac/predict/batch", json!({ "states": states })).await.ok();
        for (row, state) in states.iter().enumerate() {
            assert_eq!(client.predict(state).await["action"], batch["actions"][row], "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_outside_sac_need_no_model() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), b"broken");
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    client.get("/sac/model/info").await.detail(500);
    assert_eq!(client.get("/healthz").await.ok(), json!({"status": "ok"}));
    assert_eq!(client.post("/healthz", json!({})).await.detail(405), "Method Not Allowed");
    assert_eq!(client.get("/elsewhere").await.detail(404), "Not Found");
    assert_eq!(client.get("/sacrilege").await.detail(404), "Not Found");
}
