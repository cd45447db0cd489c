//! A Unix socket instead of one of TCP: its limits, its file, and TLS on it. `every_owner` runs the contract on one.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sac_serving::{HttpConfig, Listener, Tls};
use sac_tests::{Client, Server, Settings, checkpoint, patient_http, publish, request};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::secrets::{healthz, renew, secure};

const STATE: [f64; 3] = [0.1, 0.2, 0.3];

/// A server of one checkpoint, which is loaded.
async fn server(http: HttpConfig) -> (TempDir, Server) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::on_unix_socket(Settings::folder(folder.path()).config(), http).await;
    server.service().preload().await;
    (folder, server)
}

/// A server that can be stopped.
struct Stoppable {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    _folder: TempDir,
}

impl Stoppable {
    async fn start(listener: impl Into<Listener>) -> Stoppable {
        let folder = tempdir().unwrap();
        publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
        let service = Settings::folder(folder.path()).service().await;
        let (stop, stops) = oneshot::channel::<()>();
        let shutdown = async { drop(stops.await) };
        let serving = tokio::spawn(sac_serving::serve(listener.into(), service, patient_http(), shutdown));
        Stoppable { stop, serving, _folder: folder }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
    }
}

async fn send(server: &Server, path: &str, body: &Value) -> UnixStream {
    let mut stream = UnixStream::connect(server.socket()).await.unwrap();
    stream.write_all(&request("POST", path, "", body.to_string())).await.unwrap();
    stream
}

/// Everything that the server sends until it closes the connection.
async fn rest(stream: &mut UnixStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn in_flight(server: &Server, expected: f64) {
    let name = "sac_requests_in_flight ";
    loop {
        let text = server.service().metrics().await.unwrap();
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok());
        if found == Some(expected) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_closed_its_side_is_answered_and_its_benchmark_ends() {
    let (_folder, server) = server(patient_http()).await;
    let mut stream = send(&server, "/sac/predict", &json!({ "state": STATE })).await;
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"action\""), "{answer}");
    // One of ten seconds or so.
    let benchmark = json!({ "warmup": 0, "iterations": 100_000, "batch_size": 400 });
    let mut stream = send(&server, "/sac/benchmark", &benchmark).await;
    in_flight(&server, 1.0).await;
    stream.shutdown().await.unwrap();
    in_flight(&server, 0.0).await;
    assert!(!rest(&mut stream).await.contains("p50_ms"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_cannot_take_all_connections_and_health_is_answered() {
    let http = HttpConfig { max_connections_per_address: Some(2), ..patient_http() };
    let (_folder, server) = server(http).await;
    let mut kept = [server.client().await, server.client().await];
    for client in &mut kept {
        client.predict(&STATE).await;
    }
    let answer = server.client().await.get("/sac/health").await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    let answer = server.client().await.post("/sac/predict", json!({ "state": STATE })).await;
    assert_eq!(answer.detail(503), "too many connections");
    // It has a second to ask.
    let mut silent = UnixStream::connect(server.socket()).await.unwrap();
    let answer = rest(&mut silent).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("{\"detail\":\"too many connections\"}"),
        "{answer}"
    );
    for client in &mut kept {
        client.predict(&STATE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_its_answers_is_cut_off() {
    let (_folder, server) = server(HttpConfig { idle_time: Duration::from_secs(3), ..patient_http() }).await;
    let mut stream = UnixStream::connect(server.socket()).await.unwrap();
    let batch = request("POST", "/sac/predict/batch", "", json!({ "states": vec![STATE; 4096] }).to_string());
    // Answers that are not read fill the buffers of both sides, until the server closes the connection.
    while stream.write_all(&batch).await.is_ok() {}
    server.client().await.predict(&STATE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_served_on_it_too() {
    let folder = tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let certificate = renew(&chain, &key);
    let http = HttpConfig { tls: Some(Arc::new(Tls::new(&chain, &key).unwrap())), ..patient_http() };
    let (_folder, server) = self::server(http).await;
    let plain = UnixStream::connect(server.socket()).await.unwrap();
    assert_eq!(healthz(&mut secure(plain, &certificate).await.unwrap()).await, "HTTP/1.1 200");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_and_the_group_may_connect_and_the_file_goes_when_the_server_stops() {
    let place = tempdir().unwrap();
    let path = place.path().join("http.sock");
    let server = Stoppable::start(Listener::unix(&path).await.unwrap()).await;
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    Client::connect_unix(&path).await.predict(&STATE).await;
    server.stop().await;
    assert!(!path.exists());
    // The file goes also if the server never served.
    drop(Listener::unix(&path).await.unwrap());
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_leaves_the_socket_of_another_that_took_the_path_over() {
    let place = tempdir().unwrap();
    let path = place.path().join("http.sock");
    let first = Stoppable::start(Listener::unix(&path).await.unwrap()).await;
    fs::remove_file(&path).unwrap();
    let second = Stoppable::start(Listener::unix(&path).await.unwrap()).await;
    first.stop().await;
    Client::connect_unix(&path).await.predict(&STATE).await;
    second.stop().await;
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_was_bound_by_others_is_served_and_its_file_is_left_to_them() {
    let place = tempdir().unwrap();
    let path = place.path().join("http.sock");
    let server = Stoppable::start(UnixListener::bind(&path).unwrap()).await;
    Client::connect_unix(&path).await.predict(&STATE).await;
    server.stop().await;
    assert!(path.exists());
}

/// The error of listening at a path.
async fn refused(path: &Path) -> String {
    format!("{:#}", Listener::unix(path).await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_a_dead_process_is_replaced_and_nothing_else_is() {
    let place = tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let (socket, file, folder, link) = (at("http.sock"), at("file"), at("folder"), at("link"));
    // Closed without being removed, as a process leaves it that is killed.
    drop(StdListener::bind(&socket).unwrap());
    let server = Stoppable::start(Listener::unix(&socket).await.unwrap()).await;
    Client::connect_unix(&socket).await.predict(&STATE).await;

    assert_eq!(refused(&socket).await, "another process listens there: stop it, or name another path");
    Client::connect_unix(&socket).await.predict(&STATE).await;
    server.stop().await;

    fs::write(&file, "content").unwrap();
    fs::create_dir(&folder).unwrap();
    drop(StdListener::bind(&socket).unwrap());
    symlink(&socket, &link).unwrap();
    for path in [&file, &folder, &link] {
        let error = refused(path).await;
        assert!(error.contains("a file that is no socket") && error.contains("name another path"), "{error}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "content");
    assert!(folder.is_dir() && link.is_symlink() && socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_where_there_can_be_no_socket_is_explained() {
    let place = tempdir().unwrap();
    let missing = place.path().join("none").join("http.sock");
    let error = refused(&missing).await;
    let folder = missing.parent().unwrap().display();
    assert_eq!(error, format!("the folder {folder} does not exist: create it, or name another path"));
    let error = refused(&place.path().join("x".repeat(120))).await;
    assert!(error.contains("the path is too long"), "{error}");
}
