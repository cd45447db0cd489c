//! What a client may do to the server before its request is one, and how HTTP's odd corners behave.

use std::time::Duration;

use http::Method;
use sac_serving::{Config, Edge};
use sac_tests::{Client, Server, Settings, checkpoint, publish};
use serde_json::json;
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BODY: &str = r#"{"state":[0.1,0.2,0.3]}"#;

async fn server(edge: Edge, adapt: impl FnOnce(&mut Config)) -> (TempDir, Server) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let mut config = Settings::folder(folder.path()).config();
    adapt(&mut config);
    let server = Server::with_edge(config, edge).await;
    server.client().await.predict(&[0.1, 0.2, 0.3]).await;
    (folder, server)
}

fn quick() -> Edge {
    Edge { idle_time: Duration::from_millis(200), ..Edge::default() }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

/// All that the server says until it closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The answer to bytes that end in a request to close, or bring the server to it.
async fn answer_to(server: &Server, request: &str) -> String {
    let mut stream = connect(server).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

fn predict(headers: &str) -> String {
    format!("POST /sac/predict HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n{headers}\r\n{BODY}", BODY.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_431() {
    let (_folder, server) = server(Edge { max_head_bytes: 4096, ..Edge::default() }, |_| ()).await;
    let long = format!("x-long: {}\r\n", "x".repeat(5000));
    assert!(answer_to(&server, &predict(&long)).await.starts_with("HTTP/1.1 431 "));
    let many = (0..101).map(|i| format!("x{i}: 1\r\n")).collect::<String>();
    assert!(answer_to(&server, &predict(&many)).await.starts_with("HTTP/1.1 431 "));
    let target = format!("GET /sac/{} HTTP/1.1\r\nhost: test\r\n\r\n", "x".repeat(5000));
    assert!(answer_to(&server, &target).await.starts_with("HTTP/1.1 431 "));
    assert!(answer_to(&server, &predict("connection: close\r\n")).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_gives_no_whole_head_in_time_is_closed() {
    let (_folder, server) = server(quick(), |_| ()).await;
    for beginning in ["", "POST /sac/pre", "POST /sac/predict HTTP/1.1\r\nhost: te"] {
        assert_eq!(answer_to(&server, beginning).await, "", "{beginning:?}");
    }
    let answered_then_idle = answer_to(&server, &predict("")).await;
    assert!(answered_then_idle.starts_with("HTTP/1.1 200 "), "{answered_then_idle}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_in_time_is_408() {
    let (_folder, server) = server(Edge::default(), |config| config.body_time = Duration::from_millis(200)).await;
    let request = predict("").replace(BODY, "{\"state\"");
    let answer = answer_to(&server, &request).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("connection: close"), "{answer}");
    assert!(answer.ends_with(r#"{"detail":"the request body did not come within 0.2 s"}"#), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_its_answers_is_cut_off() {
    let (_folder, server) = server(quick(), |_| ()).await;
    let mut stream = connect(&server).await;
    let body = json!({ "states": vec![[0.1, 0.2, 0.3]; 4096] }).to_string();
    let head = format!("POST /sac/predict/batch HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
    // Ends when the server closes the connection: what is not read fills the buffers of both.
    while stream.write_all(format!("{head}{body}").as_bytes()).await.is_ok() {}
    server.client().await.predict(&[0.1, 0.2, 0.3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_beyond_the_limit_is_503_and_one_that_ends_makes_room() {
    let (_folder, server) = server(Edge { max_connections: 2, ..Edge::default() }, |_| ()).await;
    let mut places = Vec::new();
    while places.len() < 2 {
        // The place of the client before may not be free yet.
        let mut stream = connect(&server).await;
        stream.write_all(predict("").as_bytes()).await.unwrap();
        let mut start = [0; 13];
        if stream.read_exact(&mut start).await.is_ok() && start == *b"HTTP/1.1 200 " {
            places.push(stream);
        }
    }
    let mut beyond = connect(&server).await;
    let told = rest(&mut beyond).await;
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("retry-after: 1"), "{told}");
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{told}");
    assert_eq!(body, r#"{"detail":"too many connections"}"#);
    drop(places);
    while !answer_to(&server, &predict("connection: close\r\n")).await.starts_with("HTTP/1.1 200 ") {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_beyond_those_in_flight_is_503_and_health_is_answered() {
    let (_folder, server) = server(Edge::default(), |config| config.max_in_flight = 1).await;
    let mut busy = server.client().await;
    let busy =
        tokio::spawn(async move { busy.post("/sac/benchmark", json!({"iterations": 20_000, "batch_size": 64})).await });
    let (mut client, mut refused) = (server.client().await, 0);
    while !busy.is_finished() {
        let answer = client.post("/sac/predict", json!({"state": [0.1, 0.2, 0.3]})).await;
        if answer.status == 503 {
            assert_eq!(answer.detail(503), "too many requests at once: 1 are in flight");
            assert_eq!(answer.header("retry-after"), Some("1"));
            refused += 1;
        }
        assert_eq!(client.get("/sac/health").await.ok()["status"], "ok");
        client.get("/healthz").await.ok();
    }
    assert!(refused > 0);
    busy.await.unwrap().ok();
    client.predict(&[0.1, 0.2, 0.3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_closed_its_half_is_answered() {
    let (_folder, server) = server(Edge::default(), |_| ()).await;
    let mut stream = connect(&server).await;
    stream.write_all(predict("").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"action\""), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_one_write_are_answered_in_their_order() {
    let (_folder, server) = server(Edge::default(), |_| ()).await;
    let health = "GET /sac/health HTTP/1.1\r\nhost: test\r\n\r\n";
    let requests = [&predict(""), health, &predict("connection: close\r\n")].concat();
    let answers = answer_to(&server, &requests).await;
    let parts = answers.split("HTTP/1.1 200 OK").skip(1).collect::<Vec<_>>();
    assert_eq!(parts.len(), 3, "{answers}");
    for (part, word) in parts.iter().zip(["\"action\"", "\"status\":\"ok\"", "\"action\""]) {
        assert!(part.contains(word), "{word}: {part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_is_a_body_and_has_the_same_limit() {
    let (_folder, server) = server(Edge::default(), |config| config.max_body_bytes = 64).await;
    let head = "POST /sac/predict HTTP/1.1\r\nhost: test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let (first, second) = BODY.split_at(7);
    let chunks = format!("{head}{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    let answer = answer_to(&server, &chunks).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let large = format!("{head}40\r\n{}\r\n1\r\n \r\n0\r\n\r\n", " ".repeat(64));
    let answer = answer_to(&server, &large).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let torn = answer_to(&server, &format!("{head}zz\r\n")).await;
    assert!(torn.starts_with("HTTP/1.1 400 "), "{torn}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_is_not_asked_for_a_body_over_the_limit() {
    let (_folder, server) = server(Edge::default(), |config| config.max_body_bytes = 64).await;
    let head = predict("expect: 100-continue\r\n").replace(BODY, "").replace("length: 23", "length: 65");
    let answer = answer_to(&server, &head).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_is_405_with_the_methods_that_are_allowed() {
    let (_folder, server) = server(Edge::default(), |_| ()).await;
    let mut client = server.client().await;
    for (path, allowed) in [("/sac/predict", "POST"), ("/sac/health", "GET, HEAD"), ("/healthz", "GET, HEAD")] {
        let answer = client.send(Method::OPTIONS, path, "").await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some(allowed)), "{path}");
    }
    let star = answer_to(&server, "OPTIONS * HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
    assert!(star.starts_with("HTTP/1.1 404 "), "{star}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_answered_or_closed_and_the_server_lives() {
    let (_folder, server) = server(quick(), |_| ()).await;
    for noise in ["\r\n\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", "GET\r\n\r\n", "{}\n"] {
        let answer = answer_to(&server, noise).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{noise:?}: {answer}");
    }
    Client::connect(server.address).await.predict(&[0.1, 0.2, 0.3]).await;
}
