//! Slow, silent and malformed clients, and the rarer parts of HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use sac_serving::{Config, HttpConfig};
use sac_tests::{Server, Settings, checkpoint, patient_http, publish};
use serde_json::json;
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BODY: &str = r#"{"state":[0.1,0.2,0.3]}"#;

/// A server of one checkpoint, which is loaded.
pub async fn server(http: HttpConfig, adapt: impl FnOnce(&mut Config)) -> (TempDir, Server) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let mut config = Settings::folder(folder.path()).config();
    adapt(&mut config);
    let server = Server::with_http(config, http).await;
    server.service().preload().await;
    (folder, server)
}

/// Limits by which a silent client is cut off soon, and one that a busy machine slows down is not.
fn short_idle_time() -> HttpConfig {
    HttpConfig { idle_time: Duration::from_secs(3), ..patient_http() }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

/// Everything that the server sends until it closes or resets the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// Sends bytes that make the server close the connection, and returns what it sends before.
async fn answer_to(server: &Server, request: &str) -> String {
    exchange(server.address, request).await
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that refuses the connection may have closed it already.
    let _ = stream.write_all(request.as_bytes()).await;
    rest(&mut stream).await
}

/// The answers to each of these, on connections that are open at the same time.
async fn answers_to<const N: usize>(server: &Server, requests: [&'static str; N]) -> [(&'static str, String); N] {
    let address = server.address;
    let pending = requests.map(|request| (request, tokio::spawn(exchange(address, request))));
    let mut answers = requests.map(|request| (request, String::new()));
    for ((_, answer), (_, task)) in answers.iter_mut().zip(pending) {
        *answer = task.await.unwrap();
    }
    answers
}

fn predict(headers: &str) -> String {
    format!("POST /sac/predict HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n{headers}\r\n{BODY}", BODY.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_431() {
    let (_folder, server) = server(HttpConfig { max_head_bytes: 4096, ..patient_http() }, |_| ()).await;
    let long = format!("x-long: {}\r\n", "x".repeat(5000));
    assert!(answer_to(&server, &predict(&long)).await.starts_with("HTTP/1.1 431 "));
    let many = (0..101).map(|i| format!("x{i}: 1\r\n")).collect::<String>();
    assert!(answer_to(&server, &predict(&many)).await.starts_with("HTTP/1.1 431 "));
    let target = format!("GET /sac/{} HTTP/1.1\r\nhost: test\r\n\r\n", "x".repeat(5000));
    assert!(answer_to(&server, &target).await.starts_with("HTTP/1.1 431 "));
    assert!(answer_to(&server, &predict("connection: close\r\n")).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_sends_no_whole_head_in_time_is_closed() {
    let (_folder, server) = server(short_idle_time(), |_| ()).await;
    let beginnings = ["", "POST /sac/pre", "POST /sac/predict HTTP/1.1\r\nhost: te"];
    for (beginning, answer) in answers_to(&server, beginnings).await {
        assert_eq!(answer, "", "{beginning:?}");
    }
    let answered_then_idle = answer_to(&server, &predict("")).await;
    assert!(answered_then_idle.starts_with("HTTP/1.1 200 "), "{answered_then_idle}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_in_time_is_408() {
    let (_folder, server) = server(patient_http(), |config| config.body_time = Duration::from_millis(200)).await;
    let request = predict("").replace(BODY, "{\"state\"");
    let answer = answer_to(&server, &request).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("connection: close"), "{answer}");
    assert!(answer.ends_with(r#"{"detail":"the request body did not come within 0.2 s"}"#), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_its_answers_is_cut_off() {
    let (_folder, server) = server(short_idle_time(), |_| ()).await;
    let mut stream = connect(&server).await;
    let body = json!({ "states": vec![[0.1, 0.2, 0.3]; 4096] }).to_string();
    let head = format!("POST /sac/predict/batch HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
    // Answers that are not read fill the buffers of both sides, until the server closes the connection.
    while stream.write_all(format!("{head}{body}").as_bytes()).await.is_ok() {}
    server.client().await.predict(&[0.1, 0.2, 0.3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_beyond_the_limit_is_503_and_one_that_ends_makes_room() {
    let (_folder, server) = server(HttpConfig { max_connections: 2, ..patient_http() }, |_| ()).await;
    let mut open = Vec::new();
    while open.len() < 2 {
        // A connection that has just ended may still be counted.
        let mut stream = connect(&server).await;
        stream.write_all(predict("").as_bytes()).await.unwrap();
        let mut start = [0; 13];
        if stream.read_exact(&mut start).await.is_ok() && start == *b"HTTP/1.1 200 " {
            open.push(stream);
        }
    }
    let mut beyond = connect(&server).await;
    let answer = rest(&mut beyond).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
    assert_eq!(body, r#"{"detail":"too many connections"}"#);
    drop(open);
    while !answer_to(&server, &predict("connection: close\r\n")).await.starts_with("HTTP/1.1 200 ") {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_beyond_the_limit_of_those_in_flight_is_503_and_health_is_answered() {
    let (_folder, server) = server(patient_http(), |config| config.max_in_flight = 1).await;
    let mut busy = server.client().await;
    let benchmark = json!({"iterations": 100_000, "batch_size": 64});
    let busy = tokio::spawn(async move {
        loop {
            // It is refused itself if it comes while a prediction is in flight.
            let answer = busy.post("/sac/benchmark", benchmark.clone()).await;
            if answer.status != 503 {
                break answer;
            }
        }
    });
    let (mut client, mut refused) = (server.client().await, [0; 3]);
    while !busy.is_finished() {
        let answer = client.post("/sac/predict", json!({"state": [0.1, 0.2, 0.3]})).await;
        if answer.status == 503 {
            assert_eq!(answer.detail(503), "too many requests at once: 1 are in flight");
            assert_eq!(answer.header("retry-after"), Some("1"));
            refused[0] += 1;
        }
        // Another protocol, another form.
        let answer = client.post("/v2/models/sac/infer", json!({})).await;
        let error = answer.json()["error"].as_str().unwrap();
        assert_eq!(error == "too many requests at once: 1 are in flight", answer.status == 503, "{error}");
        // The host answers these by itself.
        for (route, path) in ["/sac/model/candidates", "/sac/stream"].into_iter().enumerate() {
            let answer = client.get(path).await;
            refused[1 + route] += u32::from(answer.status == 503);
        }
        assert_eq!(client.get("/sac/health").await.ok()["status"], "ok");
        client.get("/v2/health/ready").await.ok();
        client.get("/healthz").await.ok();
    }
    assert!(refused.iter().all(|refused| *refused > 0), "{refused:?}");
    busy.await.unwrap().ok();
    client.predict(&[0.1, 0.2, 0.3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_closed_its_side_is_answered() {
    let (_folder, server) = server(patient_http(), |_| ()).await;
    let mut stream = connect(&server).await;
    stream.write_all(predict("").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"action\""), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_one_write_are_answered_in_their_order() {
    let (_folder, server) = server(patient_http(), |_| ()).await;
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
async fn a_chunked_body_is_accepted_and_has_the_same_limit() {
    let (_folder, server) = server(patient_http(), |config| config.max_body_bytes = 64).await;
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
async fn a_client_that_expects_100_continue_is_not_asked_for_a_body_over_the_limit() {
    let (_folder, server) = server(patient_http(), |config| config.max_body_bytes = 64).await;
    let head = predict("expect: 100-continue\r\n").replace(BODY, "").replace("length: 23", "length: 65");
    let answer = answer_to(&server, &head).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_is_405_with_the_methods_that_are_allowed() {
    let (_folder, server) = server(patient_http(), |_| ()).await;
    let mut client = server.client().await;
    for (path, allowed) in [("/sac/predict", "POST"), ("/sac/health", "GET, HEAD"), ("/healthz", "GET, HEAD")] {
        let answer = client.send(Method::OPTIONS, path, "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{path}");
    }
    let star = answer_to(&server, "OPTIONS * HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
    assert!(star.starts_with("HTTP/1.1 404 "), "{star}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_two_hosts_or_none_is_400() {
    let (_folder, server) = server(patient_http(), |_| ()).await;
    for hosts in ["", "host: a\r\nhost: b\r\n", "host: a\r\nhost: a\r\n"] {
        let answer = answer_to(&server, &format!("GET /healthz HTTP/1.1\r\n{hosts}connection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("one Host header"), "{hosts:?}: {answer}");
    }
    let old = answer_to(&server, "GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_http_are_answered_with_400_or_the_connection_is_closed() {
    let (_folder, server) = server(short_idle_time(), |_| ()).await;
    let noises = ["\r\n\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", "GET\r\n\r\n", "{}\n"];
    for (noise, answer) in answers_to(&server, noises).await {
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{noise:?}: {answer}");
    }
    server.client().await.predict(&[0.1, 0.2, 0.3]).await;
}
