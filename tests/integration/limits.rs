//! An instance that takes more memory or time than its limits allow is stopped, and the server answers on.

use std::time::Duration;

use sac_serving::{Config, SacService, SandboxLimits};
use sac_tests::{Server, Settings, checkpoint, patient_sandbox, publish};
use serde_json::json;
use tempfile::tempdir;

use crate::sandbox::probing_server;

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_needs_more_than_the_limits_allow_does_not_start() {
    let limited = [
        SandboxLimits { memory_bytes: 1 << 16, ..patient_sandbox() },
        SandboxLimits { tables: 0, ..patient_sandbox() },
        SandboxLimits { table_elements: 1, ..patient_sandbox() },
        SandboxLimits { instances: 1, ..patient_sandbox() },
    ];
    let folder = tempdir().unwrap();
    // Compiles the component once for all of them.
    Server::folder(folder.path()).await;
    for sandbox in limited {
        let config = Config { sandbox: sandbox.clone(), ..Settings::folder(folder.path()).config() };
        let made = tokio::task::spawn_blocking(|| SacService::new(config)).await.unwrap();
        assert!(made.is_err(), "{sandbox:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_much_memory_is_500_and_the_next_is_answered() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let sandbox = SandboxLimits { memory_bytes: 16 << 20, ..patient_sandbox() };
    let config = Config { sandbox, max_batch: 1_000_000, ..Settings::folder(folder.path()).config() };
    let server = Server::with_config(config).await;
    let mut client = server.client().await;
    let batch = json!({ "states": vec![[0.5; 3]; 400_000] });
    for _ in 0..3 {
        let answer = client.post("/sac/predict/batch", batch.clone()).await;
        assert_eq!(answer.detail(500), "the policy's sandbox failed and was replaced");
        client.predict(&[0.1, 0.2, 0.3]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_takes_too_much_memory_is_refused() {
    let folder = tempdir().unwrap();
    let good = folder.path().join("model_a.onnx");
    publish(&good, &checkpoint("pendulum_00500"));
    let sandbox = SandboxLimits { memory_bytes: 16 << 20, ..patient_sandbox() };
    let config = Config { sandbox, ..Settings::folder(folder.path()).config() };
    let server = Server::with_config(config).await;
    let mut client = server.client().await;
    client.predict(&[0.1, 0.2, 0.3]).await;
    publish(&folder.path().join("model_b.onnx"), &vec![0; 20 << 20]);
    let info = client.info().await;
    assert_eq!((info["path"].as_str(), &info["stale"]), (good.to_str(), &json!(true)), "{info}");
    let detail = "the component was stopped: it takes more than 16777216 bytes of memory";
    assert_eq!(info["last_error"]["detail"], detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_that_takes_too_long_is_503_and_others_are_answered_meanwhile() {
    let limits = SandboxLimits { call_time: Duration::from_secs(5), ..patient_sandbox() };
    let server = probing_server(|config| config.sandbox = limits).await;
    let mut slow = server.client().await;
    let slow = tokio::spawn(async move { slow.get("/sac/spin").await });
    let (mut client, mut answered) = (server.client().await, 0);
    while !slow.is_finished() {
        assert_eq!(client.get("/sac/environment").await.ok(), json!(0));
        answered += 1;
    }
    let slow = slow.await.unwrap();
    assert_eq!(slow.detail(503), "the request was stopped: it took longer than 5 s");
    assert_eq!(slow.header("retry-after"), Some("1"));
    assert!(answered > 1, "{answered} requests beside it");
    // Both instances answer, whichever was stopped.
    for _ in 0..4 {
        assert_eq!(client.get("/sac/environment").await.ok(), json!(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_takes_too_long_to_load_is_refused() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), b"spin");
    let limits = SandboxLimits { load_time: Duration::from_millis(100), ..patient_sandbox() };
    let source = Settings::folder(folder.path()).config().source;
    let server = probing_server(|config| (config.source, config.sandbox) = (source, limits)).await;
    let refusal = server.client().await.get("/sac/refusal").await.ok();
    assert_eq!(refusal, "the component was stopped: it took longer than 0.1 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_has_grown_far_beyond_its_need_is_replaced() {
    let server = probing_server(|config| config.workers = 1).await;
    let mut client = server.client().await;
    // The instance counts its calls.
    for (attempt, calls) in [("hold/1", 2), ("hold/8", 4), ("hold/64", 1), ("hold/1", 3)] {
        client.get(&format!("/sac/{attempt}")).await.ok();
        assert_eq!(client.get("/sac/calls").await.ok(), json!(calls), "after {attempt}");
    }
}
