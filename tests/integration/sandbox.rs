//! The component reaches nothing outside its sandbox, and its panics end no server.

use std::process::Command;
use std::sync::OnceLock;

use sac_serving::Config;
use sac_tests::{Server, Settings, checkpoint, odd, publish, workspace};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::net::TcpListener;

/// The component of `tests/probe`, which answers a path by trying to do what the path says.
pub fn probe() -> &'static [u8] {
    static PROBE: OnceLock<Vec<u8>> = OnceLock::new();
    PROBE.get_or_init(|| {
        let root = workspace();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--profile", "component", "--target", "wasm32-wasip2", "--target-dir", "target/component"])
            .args(["-p", "sac-probe"])
            .current_dir(&root)
            .status();
        assert!(built.unwrap().success());
        std::fs::read(root.join("target/component/wasm32-wasip2/component/sac_probe.wasm")).unwrap()
    })
}

/// A server of the probe. It has no checkpoint unless `adapt` names one.
pub async fn probing_server(adapt: impl FnOnce(&mut Config)) -> Server {
    let folder = tempdir().unwrap();
    let component = tokio::task::spawn_blocking(probe).await.unwrap();
    let config = Settings::folder(folder.path()).config();
    let mut config = Config { component: Some(component.to_vec()), cache_dir: None, ..config };
    adapt(&mut config);
    Server::with_config(config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_component_finds_no_variable_no_argument_and_no_file_and_its_output_never_blocks() {
    let server = probing_server(|_| ()).await;
    let mut client = server.client().await;
    assert!(std::env::vars().next().is_some(), "this process has variables");
    for (attempt, found) in [
        ("environment", json!(0)),
        ("arguments", json!(0)),
        ("read-folder", Value::Null),
        ("read-file", Value::Null),
        ("write-file", Value::Null),
        ("print-a-megabyte", json!("printed")),
        ("clock", json!("ticks")),
    ] {
        assert_eq!(client.get(&format!("/sac/{attempt}")).await.ok(), found, "{attempt}");
    }
    let other = probing_server(|_| ()).await;
    let drawn = [client.get("/sac/random").await.ok(), other.client().await.get("/sac/random").await.ok()];
    assert!(drawn[0].is_u64() && drawn[0] != drawn[1], "{drawn:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_call_of_the_component_ends_its_instance_and_not_the_server() {
    let server = probing_server(|_| ()).await;
    let mut client = server.client().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for attempt in [&format!("connect/{port}"), "listen", "sleep", "exit", "panic", "take-all-memory"] {
        let answer = client.get(&format!("/sac/{attempt}")).await;
        let refused = answer.status == 500 || answer.json().is_null();
        assert!(refused, "{attempt}: {} {}", answer.status, answer.json());
        assert_eq!(client.get("/sac/environment").await.ok(), json!(0), "the server does not answer after {attempt}");
    }
    let reached = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(reached.is_err(), "a connection was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_cannot_change_how_its_responses_are_framed() {
    let server = probing_server(|_| ()).await;
    let mut client = server.client().await;
    let names = ["content-length", "transfer-encoding", "connection", "upgrade", "content-type", "set-cookie", "date"];
    let statuses = [0, 99, 100, 101, 199, 204, 205, 304, 600, 999, 1000, 65535];
    let headers = names.map(|name| format!("header/{name}"));
    let statuses = statuses.map(|status| format!("status/{status}"));
    let others = ["value/0a", "value/0d", "value/00", "headers/40000"].map(str::to_owned);
    for attempt in headers.iter().chain(&statuses).chain(&others) {
        let answer = client.get(&format!("/sac/{attempt}")).await;
        assert_eq!(answer.detail(500), "the server failed", "{attempt}");
        // The connection is in step, and answers on.
        assert_eq!(client.get("/sac/environment").await.ok(), json!(0), "{attempt}");
    }
    let answer = client.get("/sac/body/65").await;
    assert_eq!(answer.detail(500), "the policy's sandbox failed and was replaced", "a response of 65 MiB");
    for attempt in ["split/0", "split/1", "split/1000000"] {
        client.get(&format!("/sac/{attempt}")).await.detail(500);
        assert_eq!(client.get("/sac/environment").await.ok(), json!(0), "{attempt}");
    }
    for attempt in ["header/allow", "header/retry-after", "header/www-authenticate", "status/200"] {
        client.get(&format!("/sac/{attempt}")).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_the_graph_cannot_take_is_500_with_the_reason_and_costs_no_instance() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &odd("panics_at_five"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    for _ in 0..5 {
        let answer = client.post("/sac/predict", json!({"state": [5, 0, 0]})).await;
        assert!(answer.detail(500).ends_with("index 5 is out of range for an axis of 5"), "{}", answer.json());
        assert_eq!(client.predict(&[0.0, 1.0, 4.0]).await["action"], json!([0.0, 1.0, 4.0]));
        // A batch of this size is answered on a thread that may block.
        let states = vec![[5.000000001, 5.000000001, 5.000000001]; 4096];
        let answer = client.post("/sac/predict/batch", json!({ "states": states })).await;
        assert!(answer.detail(500).ends_with("index 5 is out of range for an axis of 5"), "{}", answer.json());
    }
    let metrics = client.get("/metrics").await;
    assert!(metrics.text().contains("sac_instances_lost_total{reason=\"panic\"} 0\n"), "{}", metrics.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_loading_refuses_the_checkpoint_with_the_message_of_the_panic() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    client.predict(&[0.1, 0.2, 0.3]).await;
    publish(&folder.path().join("model_b.onnx"), &odd("panics_at_load"));
    client.predict(&[0.1, 0.2, 0.3]).await;
    let detail = client.info().await["last_error"]["detail"].clone();
    let detail = detail.as_str().unwrap();
    assert!(detail.starts_with("the component panicked: ") && detail.contains("out of bounds"), "{detail}");
}
