//! Bytes that are nearly HTTP, on real connections.

use std::time::Duration;

use fastrand::Rng;
use sac_serving::HttpConfig;
use sac_tests::{Server, Settings, checkpoint, patient_http, publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::cases::{self, Tally};
use crate::mutation::{mutate, pick};

const REQUESTS: &[&str] = &[
    "POST /sac/predict HTTP/1.1\r\nhost: a\r\ncontent-length: 23\r\n\r\n{\"state\":[0.1,0.2,0.3]}",
    "POST /sac/predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{\"state\r\n10\r\n\":[0.1,0.2,0.3]}\r\n0\r\n\r\n",
    "GET /sac/health HTTP/1.1\r\nhost: a\r\n\r\n",
    "HEAD /healthz HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
    "POST /sac/predict/batch HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 26\r\n\r\n{\"states\":[[0.1,0.2,0.3]]}",
    "GET http://b/sac/model/info HTTP/1.1\r\nhost: a\r\nauthorization: Bearer x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
];
const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "\r\n\r\n",
    "content-length: 9\r\n",
    "content-length: -1\r\n",
    "transfer-encoding: chunked\r\n",
    "HTTP/2.0",
    "\0",
    "ffffffffffffffff\r\n",
    ": ",
    "host: b\r\n",
    "0\r\n\r\n",
    " ",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\u{80}",
];

#[test]
fn every_connection_is_answered_in_http_or_closed() {
    Runtime::new().unwrap().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
        // Longer than a case may take: the server has to close the connection because the client has closed its side.
        let http = HttpConfig { idle_time: Duration::from_secs(120), ..patient_http() };
        let server = Server::with_http(Settings::folder(folder.path()).config(), http).await;
        let mut neighbour = server.client().await;
        let handle = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            let mut tally = Tally::default();
            cases::run("http", 5_000, |rng| {
                let bytes = bytes(rng);
                let answer = handle.block_on(exchange(&server, &bytes));
                tally.count(answer.get(9..12).map_or("closed".into(), String::from_utf8_lossy));
                let case = || format!("{} → {}", bytes.escape_ascii(), answer.escape_ascii());
                assert!(answer.is_empty() || is_http(&answer), "{}", case());
                if rng.u8(..16) == 0 {
                    handle.block_on(neighbour.predict(&[0.1, 0.2, 0.3]));
                }
            });
            tally.expect(&["200", "400", "404", "closed"]);
        });
    });
}

/// Everything that the server sends until it closes or resets the connection.
async fn exchange(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let exchange = async {
        let mut stream = TcpStream::connect(server.address).await?;
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut answer).await
    };
    let ended = timeout(Duration::from_secs(60), exchange).await;
    assert!(ended.is_ok(), "neither answered nor closed: {}", bytes.escape_ascii());
    answer
}

fn is_http(answer: &[u8]) -> bool {
    let statuses = ["100", "200", "400", "404", "405", "408", "413", "417", "422", "431", "500", "505"];
    let is_one = |status: &[u8]| statuses.iter().any(|known| known.as_bytes() == status);
    let version = answer.strip_prefix(b"HTTP/1.1 ").or(answer.strip_prefix(b"HTTP/1.0 "));
    version.and_then(|rest| rest.get(..3)).is_some_and(is_one)
}

fn bytes(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..rng.usize(1..4) {
        bytes.extend_from_slice(pick(rng, REQUESTS).as_bytes());
    }
    if rng.bool() {
        let place = rng.usize(0..=bytes.len());
        bytes.splice(place..place, pick(rng, WORDS).bytes());
    } else {
        let other = pick(rng, REQUESTS).as_bytes();
        mutate(rng, &mut bytes, other);
    }
    bytes
}
