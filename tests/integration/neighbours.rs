//! No client, no file and no storage holds up the requests of others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sac_serving::{HttpConfig, Identity, SandboxLimits};
use sac_tests::{Server, checkpoint, patient_http, patient_sandbox, publish, request};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::connections::server;

const STATE: [f64; 3] = [0.1, 0.2, 0.3];

/// A benchmark of ten seconds or so. The component refuses one of more than a minute.
fn long_benchmark() -> Value {
    json!({ "warmup": 0, "iterations": 100_000, "batch_size": 400 })
}

async fn ask_for(server: &Server, path: &str, body: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&request("POST", path, "", body.to_string())).await.unwrap();
    stream
}

/// The value of a metric without labels, or with these.
async fn metric(server: &Server, name: &str) -> f64 {
    let text = server.service().metrics().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn benchmarks_of_clients_that_are_gone_end_where_they_run_and_where_they_wait() {
    let (_folder, server) = server(patient_http(), |config| config.workers = 1).await;
    // The comparison of the backends takes an instance too, for a moment. Then there is one for predictions, and one that stands
    // ready for the next load.
    let compared = "sac_backend_comparisons_total{outcome=\"agree\"}";
    while metric(&server, compared).await < 1.0 || metric(&server, "sac_instances").await != 2.0 {
        tokio::task::yield_now().await;
    }
    let at_most = async |requests: f64| {
        while metric(&server, "sac_requests_in_flight").await > requests {
            tokio::task::yield_now().await;
        }
    };
    // One has an instance of its own, and three wait. Each of them would take seconds.
    let running = ask_for(&server, "/sac/benchmark", &long_benchmark()).await;
    while metric(&server, "sac_instances").await < 3.0 {
        tokio::task::yield_now().await;
    }
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(ask_for(&server, "/sac/benchmark", &long_benchmark()).await);
    }
    while metric(&server, "sac_requests_in_flight").await < 4.0 {
        tokio::task::yield_now().await;
    }
    drop(waiting);
    at_most(1.0).await;
    drop(running);
    at_most(0.0).await;
    let mut client = server.client().await;
    client.post("/sac/benchmark", json!({ "iterations": 10 })).await.ok();
    // The thread of benchmarks ended the first, skipped the others, and answered.
    assert_eq!(metric(&server, "sac_instances_lost_total{reason=\"abandoned\"}").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn benchmarks_beyond_those_that_may_wait_are_503_and_predictions_are_answered() {
    let (_folder, server) = server(patient_http(), |_| ()).await;
    let mut streams = Vec::new();
    while metric(&server, "sac_requests_in_flight").await < 5.0 {
        streams.push(ask_for(&server, "/sac/benchmark", &long_benchmark()).await);
    }
    let mut client = server.client().await;
    // Whichever of them have places: five have, and no more.
    let answer = loop {
        let answer = client.post("/sac/benchmark", json!({ "iterations": 1 })).await;
        if answer.status == 503 {
            break answer;
        }
    };
    assert_eq!(answer.detail(503), "too many benchmarks at once: ask again later");
    assert_eq!(answer.header("retry-after"), Some("1"));
    // A reload makes no room for more of them.
    client.post("/sac/model/reload", json!({})).await.ok();
    assert_eq!(client.post("/sac/benchmark", json!({ "iterations": 1 })).await.status, 503);
    client.predict(&STATE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_little_memory_for_all_instances_there_are_fewer_and_every_request_is_answered() {
    let (folder, server) = server(patient_http(), |config| {
        config.workers = 8;
        config.sandbox.memory_bytes = 16 << 20;
        config.sandbox.total_memory_bytes = (16 << 20) + (6 << 20);
    })
    .await;
    let clients = (0..16).map(|_| {
        let address = server.address;
        tokio::spawn(async move {
            let mut client = sac_tests::Client::connect(address).await;
            for _ in 0..20 {
                client.predict(&STATE).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    assert!(metric(&server, "sac_instance_memory_bytes").await <= f64::from(22 << 20));
    assert!(metric(&server, "sac_instances").await < 8.0);
    // There is always enough to load the next.
    let next = folder.path().join("model_b.onnx");
    publish(&next, &checkpoint("pendulum_08000"));
    assert_eq!(server.client().await.info().await["path"], next.to_str().unwrap());
}

static STALLED: AtomicBool = AtomicBool::new(false);

/// Storage that does not answer for a while.
fn stall() {
    while STALLED.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Lets storage answer again, also after a test that failed.
struct Stall;

impl Stall {
    fn begin() -> Stall {
        STALLED.store(true, Ordering::Relaxed);
        Stall
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        STALLED.store(false, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_storage_stalls_the_policy_in_service_answers_and_health_and_metrics_say_so() {
    let (folder, server) = server(patient_http(), |config| {
        config.source.identify = |stat| {
            stall();
            Identity::of(stat)
        };
        config.reload_wait = Duration::from_millis(100);
    })
    .await;
    let mut client = server.client().await;
    client.predict(&STATE).await;
    let stall = Stall::begin();
    let old = folder.path().join("model_a.onnx");
    publish(&folder.path().join("model_b.onnx"), &checkpoint("pendulum_08000"));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let mut client = server.client().await;
        clients.spawn(async move { client.predict(&STATE).await });
    }
    client.get("/healthz").await.ok();
    // One of them looks on its own thread, and is answered when storage is.
    for _ in 0..15 {
        assert_eq!(clients.join_next().await.unwrap().unwrap()["model_path"], old.to_str().unwrap());
    }
    let health = client.get("/sac/health").await.ok();
    assert!(health["detail"].as_str().unwrap().starts_with("the files were last seen at "), "{health}");
    let metrics = client.get("/metrics").await;
    let unseen =
        metrics.text().lines().find_map(|line| line.strip_prefix("sac_freshness_seconds ")?.parse::<f64>().ok());
    assert!(unseen.unwrap() > 0.1, "{unseen:?}");
    drop(stall);
    while client.info().await["generation"] == 1 {}
    assert_eq!(client.get("/sac/health").await.ok(), json!({ "status": "ok", "model_loaded": true }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_connections_taken_another_gets_health_and_metrics_and_nothing_else() {
    let (_folder, server) = server(HttpConfig { max_connections: 1, ..patient_http() }, |_| ()).await;
    let mut first = server.client().await;
    first.predict(&STATE).await;
    for path in ["/healthz", "/sac/health", "/metrics"] {
        let answer = server.client().await.get(path).await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{path}");
    }
    let mut refused = server.client().await;
    let answer = refused.post("/sac/predict", json!({ "state": STATE })).await;
    assert_eq!(answer.detail(503), "too many connections");
    first.predict(&STATE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_ask_for_nothing_keep_nobody_out() {
    let (_folder, server) = server(HttpConfig { max_connections: 4, ..patient_http() }, |_| ()).await;
    let mut kept = server.client().await;
    kept.predict(&STATE).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
        server.client().await.predict(&STATE).await;
    }
    kept.predict(&STATE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_takes_longer_than_the_component_expected_leaves_the_threads_of_others() {
    let limits = SandboxLimits { call_time: Duration::from_secs(1), ..patient_sandbox() };
    let server = crate::sandbox::probing_server(|config| config.sandbox = limits).await;
    let mut spinning = tokio::task::JoinSet::new();
    // Twice as many as there are threads.
    for _ in 0..4 {
        let mut client = server.client().await;
        spinning.spawn(async move { client.get("/sac/spin").await.status });
    }
    let (mut client, mut answered) = (server.client().await, 0);
    while spinning.try_join_next().is_none() {
        client.get("/healthz").await.ok();
        client.get("/sac/environment").await.ok();
        answered += 1;
    }
    assert!(answered > 10, "{answered}");
    assert_eq!(spinning.join_all().await, [503; 3]);
}
