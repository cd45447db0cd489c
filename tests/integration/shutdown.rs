//! The end of a server, as its clients and a load balancer see it.

use std::fs::create_dir;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sac_serving::{Config, HttpConfig, RootConfig, SacService};
use sac_tests::{Client, Settings, checkpoint, patient_http, publish};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::stream::Stream;

/// Longer than anything takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(600);

/// A server of one checkpoint that begins to stop when the sender sends.
async fn server(folder: &Path, http: HttpConfig) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    publish(&folder.join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let service = Settings::folder(folder).service().await;
    service.preload().await;
    serve(service, http).await
}

async fn serve(service: SacService, http: HttpConfig) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stops) = oneshot::channel::<()>();
    let serving = tokio::spawn(sac_serving::serve(listener, service, http, async { drop(stops.await) }));
    (address, stop, serving)
}

/// Returns the first answer to a path that is not 200. The server notices on a thread of its own that it stops.
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
    let http = HttpConfig { lame_duck_time: PATIENCE, ..patient_http() };
    let (address, stop, serving) = server(folder.path(), http).await;
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
    let http = HttpConfig { lame_duck_time: PATIENCE, ..patient_http() };
    let (address, stop, serving) = serve(block_in_place(|| SacService::new(config)).unwrap(), http).await;
    Client::connect(address).await.get("/v2/health/ready").await.ok();
    stop.send(()).unwrap();
    assert_eq!(once_unwell(address, "/v2/health/ready").await, (503, json!({ "ready": false })));
    Client::connect(address).await.get("/v2/health/live").await.ok();
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_go_on_and_begin_while_health_says_that_the_server_stops() {
    let folder = tempdir().unwrap();
    let http = HttpConfig { lame_duck_time: PATIENCE, ..patient_http() };
    let (address, stop, serving) = server(folder.path(), http).await;
    let mut before = Stream::open_at(address, "/sac/stream", None).await.unwrap();
    stop.send(()).unwrap();
    assert_eq!(once_unwell(address, "/sac/health").await.0, 503);
    let mut during = Stream::open_at(address, "/sac/stream", None).await.unwrap();
    for _ in 0..2 {
        assert!(before.predict().await["action"].is_number());
        assert!(during.predict().await["action"].is_number());
    }
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_its_streams_and_waits_for_no_silent_one() {
    let folder = tempdir().unwrap();
    // The limit for requests in flight ends nothing here.
    let http = HttpConfig { drain_time: Duration::MAX, ..patient_http() };
    let (address, stop, serving) = server(folder.path(), http).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(Stream::open_at(address, "/sac/stream", None).await.unwrap());
    }
    // The server may answer it, or stop first.
    streams[0].send(json!({ "state": [0.1, 0.2, 0.3] })).await;
    stop.send(()).unwrap();
    assert_eq!(streams[0].end().await.code, CloseCode::Away);
    assert_eq!(streams[1].end().await.reason.as_str(), "the server stops");
    // The third client neither reads nor closes.
    timeout(PATIENCE, serving).await.unwrap().unwrap();
}
