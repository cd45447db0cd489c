//! The host as a library, mounted into another server.

use axum::Router;
use axum::routing::get;
use sac_serving::SacService;
use sac_tests::{Client, Settings, checkpoint, publish};
use tempfile::tempdir;
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn other_routes_of_an_embedding_server_do_not_depend_on_a_model() {
    let folder = tempdir().unwrap();
    let config = Settings::folder(folder.path()).config();
    let service = tokio::task::spawn_blocking(|| SacService::new(config)).await.unwrap().unwrap();
    let app = Router::new().route("/hello", get(async || "hello")).route_service("/sac/{*route}", service);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = {
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, app).into_future());
        Client::connect(address).await
    };
    assert_eq!(client.get("/hello").await.text(), "hello");
    assert_eq!(client.get("/sac/model/info").await.detail(503), "No SAC model loaded");
    publish(&folder.path().join("model_a.onnx"), b"broken");
    client.get("/sac/model/info").await.detail(500);
    assert_eq!(client.get("/hello").await.text(), "hello");
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    client.predict(&[0.1, 0.2, 0.3]).await;
}
