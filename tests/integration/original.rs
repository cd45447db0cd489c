//! The seven tests of the Python original, run against both owners.

use sac_tests::{Owner, Server, Settings, both_owners, checkpoint, every_owner, publish};
use serde_json::json;
use tempfile::tempdir;

const STATE: [f64; 3] = [0.3, -0.4, 0.5];

every_owner!(a_cold_start_without_a_model_is_503);
async fn a_cold_start_without_a_model_is_503(owner: Owner) {
    let folder = tempdir().unwrap();
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    let health = client.get("/sac/health").await;
    let body = health.json();
    assert_eq!((health.status, &body["status"], &body["model_loaded"]), (503, &json!("no_model"), &json!(false)));
    assert!(body["detail"].as_str().unwrap().starts_with("the folder has no checkpoint yet"), "{body}");
    for (path, body) in [("predict", json!({"state": STATE})), ("predict/batch", json!({"states": [STATE]}))] {
        assert_eq!(client.post(&format!("/sac/{path}"), body).await.detail(503), "No SAC model loaded");
    }
    assert_eq!(client.post("/sac/benchmark", json!({})).await.detail(503), "No SAC model loaded");
    assert_eq!(client.post("/sac/model/reload", json!({})).await.detail(503), "No SAC model loaded");
    assert_eq!(client.get("/sac/model/info").await.detail(503), "No SAC model loaded");
}

every_owner!(each_checkpoint_that_appears_serves_the_next_request);
async fn each_checkpoint_that_appears_serves_the_next_request(owner: Owner) {
    let folder = tempdir().unwrap();
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    client.get("/sac/model/info").await.detail(503);

    let first = folder.path().join("model_2024-01-01.onnx");
    publish(&first, &checkpoint("pendulum_00500"));
    let before = client.predict(&STATE).await;
    assert_eq!(before["model_path"], first.to_str().unwrap());
    assert!(before["action"].is_number() && before["latency_ms"].as_f64().unwrap() > 0.0, "{before}");
    assert_eq!(client.info().await["generation"], 1);

    let second = folder.path().join("model_2024-01-02.onnx");
    publish(&second, &checkpoint("pendulum_08000"));
    let after = client.predict(&STATE).await;
    assert_eq!(after["model_path"], second.to_str().unwrap());
    assert_ne!(before["action"], after["action"]);
    assert_eq!(client.info().await["generation"], 2);
}

every_owner!(a_forced_reload_loads_a_file_that_did_not_change);
async fn a_forced_reload_loads_a_file_that_did_not_change(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    let before = client.info().await;
    let reloaded = client.post("/sac/model/reload", json!({})).await.ok();
    assert_eq!((&before["generation"], &reloaded["generation"]), (&json!(1), &json!(2)));
    assert_eq!(before["sha256"], reloaded["sha256"]);
    assert_ne!(before["loaded_at_utc"], reloaded["loaded_at_utc"]);
    assert_eq!(client.info().await, reloaded);
}

every_owner!(the_shape_of_a_batch_is_validated);
async fn the_shape_of_a_batch_is_validated(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(owner, &Settings { max_batch: 3, ..Settings::folder(folder.path()) }).await;
    let mut client = server.client().await;
    let batch = |states| json!({ "states": states });
    let answer = client.post("/sac/predict/batch", batch(json!([STATE, STATE, STATE]))).await.ok();
    assert_eq!((answer["batch_size"].as_u64(), answer["actions"].as_array().unwrap().len()), (Some(3), 3));
    let wrong = client.post("/sac/predict/batch", batch(json!([STATE, [1, 2, 3, 4]]))).await;
    assert_eq!(wrong.detail(400), "states[1]: state_dim mismatch: got 4, expected 3");
    let large = client.post("/sac/predict/batch", batch(json!([STATE, STATE, STATE, STATE]))).await;
    assert_eq!(large.detail(400), "batch size over the limit: got 4, at most 3");
    let empty = client.post("/sac/predict/batch", batch(json!([]))).await;
    assert_eq!((empty.status, &empty.json()["detail"][0]["loc"]), (422, &json!(["body", "states"])));
    let single = client.post("/sac/predict", json!({"state": [1]})).await;
    assert_eq!(single.detail(400), "state_dim mismatch: got 1, expected 3");
}

every_owner!(the_benchmark_reports_percentiles);
async fn the_benchmark_reports_percentiles(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    let body = json!({"warmup": 5, "iterations": 50, "batch_size": 4});
    let report = client.post("/sac/benchmark", body).await.ok();
    assert_eq!((&report["warmup"], &report["iterations"], &report["batch_size"]), (&json!(5), &json!(50), &json!(4)));
    let times = ["min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms"].map(|key| report[key].as_f64().unwrap());
    assert!(times[0] > 0.0 && times.is_sorted(), "{report}");
    assert!(report["throughput_per_s"].as_f64().unwrap() > 0.0 && report["mean_ms"].is_number());
    assert!(report["model_path"].is_string() && report["model_mtime_utc"].is_string());
    assert!(report["jit_compiled"].is_boolean() && report.get("latency_ms").is_none());
    let report = client.send(http::Method::POST, "/sac/benchmark", "").await.ok();
    assert_eq!(
        (&report["warmup"], &report["iterations"], &report["batch_size"]),
        (&json!(50), &json!(1000), &json!(1))
    );
}

every_owner!(the_compiled_mode_is_faster_than_the_other);
async fn the_compiled_mode_is_faster_than_the_other(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("stat_pair_01000"));
    let mut times = Vec::new();
    for jit in [true, false] {
        let server = Server::start(owner, &Settings { jit, ..Settings::folder(folder.path()) }).await;
        let mut client = server.client().await;
        let report = client.post("/sac/benchmark", json!({"iterations": 200})).await.ok();
        assert_eq!(report["jit_compiled"], jit);
        assert_eq!(client.info().await["jit_compiled"], jit);
        assert_eq!(client.predict(&[0.1; 28]).await["jit_compiled"], jit);
        times.push(report["min_ms"].as_f64().unwrap());
    }
    // A busy machine hardly changes the least of 200 times. The ratio is 10 and more.
    assert!(times[0] * 2.0 < times[1], "compiled {} ms, not compiled {} ms", times[0], times[1]);
}

both_owners!(an_explicit_path_overrides_the_folder);
async fn an_explicit_path_overrides_the_folder(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_newer.onnx"), &checkpoint("pendulum_08000"));
    let explicit = folder.path().join("chosen.onnx");
    publish(&explicit, &checkpoint("pendulum_00500"));
    let settings = Settings { model: Some(explicit.clone()), ..Settings::folder(folder.path()) };
    let server = Server::start(owner, &settings).await;
    assert_eq!(server.client().await.predict(&STATE).await["model_path"], explicit.to_str().unwrap());
}
