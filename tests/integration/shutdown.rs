//! The end of a server, as its clients and a load balancer see it.

use std::fs::create_dir;
use std::net::SocketAddr;
use std::time::Duration;

use sac_serving::{Config, HttpConfig, RootConfig, SacService};
use sac_tests::{Client, Settings, checkpoint, patient_http, publish};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, block_in_place};

/// Serves until the sender is used, and from then on as a lame duck.
async fn serve(service: SacService) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stops) = oneshot::channel::<()>();
    let http = HttpConfig { lame_duck_time: Duration::from_secs(600), ..patient_http() };
    let shutdown = async { drop(stops.await) };
    (address, stop, tokio::spawn(sac_serving::serve(listener, service, http, shutdown)))
}

/// The first answer to a path that is not 200. The server notices on a thread of its own that it stops.
async fn once_unwell(address: SocketAddr, path: &str) -> (u16, Value) {
    loop {
        let health = Client::connect(address).await.get(path).await;
        if health.status != 200 {
            break (health.status, health.json().clone());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_stops_health_says_so_while_requests_are_served_and_connections_end() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let service = Settings::folder(folder.path()).service().await;
    service.preload().await;
    let (address, stop, serving) = serve(service).await;
    let state = json!({ "state": [0.1, 0.2, 0.3] });
    let mut kept = Client::connect(address).await;
    assert_eq!(kept.post("/sac/predict", state.clone()).await.header("connection"), None);
    stop.send(()).unwrap();
    let stopping = json!({ "status": "stopping", "model_loaded": true });
    assert_eq!(once_unwell(address, "/sac/health").await, (503, stopping));
    assert_eq!(Client::connect(address).await.get("/healthz").await.status, 200, "the process lives");
    let answer = kept.post("/sac/predict", state.clone()).await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    Client::connect(address).await.post("/sac/predict", state).await.ok();
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_stops_a_server_of_many_policies_is_live_and_no_longer_ready() {
    let root = tempdir().unwrap();
    create_dir(root.path().join("a")).unwrap();
    publish(&root.path().join("a/model_a.onnx"), &checkpoint("pendulum_00500"));
    let config = Settings::folder(root.path()).config();
    let config = Config { root: Some(RootConfig::new(root.path())), ..config };
    let (address, stop, serving) = serve(block_in_place(|| SacService::new(config)).unwrap()).await;
    Client::connect(address).await.get("/v2/health/ready").await.ok();
    stop.send(()).unwrap();
    assert_eq!(once_unwell(address, "/v2/health/ready").await, (503, json!({ "ready": false })));
    Client::connect(address).await.get("/v2/health/live").await.ok();
    serving.abort();
}
