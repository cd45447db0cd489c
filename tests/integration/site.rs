//! The host's own routes: which exist, and which need the token.

use http::Method;
use sac_tests::{Server, Settings, checkpoint, publish};
use tempfile::tempdir;

#[tokio::test(flavor = "multi_thread")]
async fn status_and_metrics_need_the_token_and_pages_show_nothing_that_does() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let settings = Settings { token: Some("token".to_owned()), ..Settings::folder(folder.path()) };
    let server = Server::with_config(settings.config()).await;
    let (mut stranger, mut client) = (server.client().await, server.client().await.with_token("token"));
    for path in ["/status", "/status/history", "/metrics"] {
        let answer = stranger.get(path).await;
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        answer.detail(401);
        assert_eq!(client.get(path).await.status, 200);
    }
    for path in [
        "/",
        "/dashboard.js",
        "/charts.js",
        "/uplot/uPlot.iife.min.js",
        "/docs.js",
        "/docs/",
        "/docs/swagger-ui.css",
        "/healthz",
    ] {
        let answer = stranger.get(path).await;
        let folder = folder.path().to_str().unwrap();
        assert!(answer.status == 200 && !answer.text().contains(folder), "{path}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_is_404_and_a_wrong_method_is_405_with_the_methods_that_are_allowed() {
    let folder = tempdir().unwrap();
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    for method in [Method::GET, Method::POST] {
        // Only the demo has the last two.
        for path in ["/nothing", "/sac", "/docs/nothing", "/extension.js", "/extension/early"] {
            client.send(method.clone(), path, "").await.detail(404);
        }
    }
    for path in ["/", "/docs", "/docs/", "/status", "/status/history", "/metrics", "/healthz"] {
        let answer = client.send(Method::POST, path, "{}").await;
        assert_eq!((answer.detail(405), answer.header("allow")), ("Method Not Allowed", Some("GET, HEAD")));
        assert_ne!(client.send(Method::HEAD, path, "").await.status, 405);
    }
    assert_eq!(client.get("/docs").await.header("location"), Some("docs/"));
}
