//! The end of a server, as its clients and a load balancer see it.

use std::time::Duration;

use sac_serving::HttpConfig;
use sac_tests::{Client, Settings, checkpoint, patient_http, publish};
use serde_json::json;
use tempfile::tempdir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

#[tokio::test(flavor = "multi_thread")]
async fn before_it_stops_health_says_so_while_requests_are_served_and_connections_end() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let service = Settings::folder(folder.path()).service().await;
    service.preload().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stops) = oneshot::channel::<()>();
    let http = HttpConfig { lame_duck_time: Duration::from_secs(600), ..patient_http() };
    let shutdown = async { drop(stops.await) };
    let serving = tokio::spawn(sac_serving::serve(listener, service, http, shutdown));
    let state = json!({ "state": [0.1, 0.2, 0.3] });
    let mut kept = Client::connect(address).await;
    assert_eq!(kept.post("/sac/predict", state.clone()).await.header("connection"), None);
    stop.send(()).unwrap();
    // The server notices it on a thread of its own.
    let health = loop {
        let health = Client::connect(address).await.get("/sac/health").await;
        if health.status != 200 {
            break health;
        }
    };
    let stopping = json!({ "status": "stopping", "model_loaded": true });
    assert_eq!((health.status, health.json()), (503, &stopping));
    assert_eq!(Client::connect(address).await.get("/healthz").await.status, 200, "the process lives");
    let answer = kept.post("/sac/predict", state.clone()).await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    Client::connect(address).await.post("/sac/predict", state).await.ok();
    serving.abort();
}
