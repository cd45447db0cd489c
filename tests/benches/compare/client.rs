//! The requests that the servers are compared by, and the load of several connections. Every answer has to be a 200.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sac_tests::{Answer, Connection, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

pub fn post(path: &str, body: &str) -> Vec<u8> {
    request("POST", path, "content-type: application/json\r\n", body)
}

/// A prediction for one state of 28 numbers.
pub fn predict() -> Vec<u8> {
    let state = (0..28).map(|i| format!("{:.6}", f64::from(i) / 28.0 - 0.5)).collect::<Vec<_>>().join(",");
    post("/sac/predict", &format!("{{\"state\":[{state}]}}"))
}

/// The numbers of a state of a batch.
fn state(row: usize) -> impl Iterator<Item = f64> {
    (0..28).map(move |i| ((row * 28 + i) as f64 * 0.618_034).fract() - 0.5)
}

/// A prediction for so many states.
pub fn predict_batch(rows: usize) -> Vec<u8> {
    let text = |row: usize| state(row).map(|number| format!("{number:.6}")).collect::<Vec<_>>().join(",");
    let states = (0..rows).map(|row| format!("[{}]", text(row))).collect::<Vec<_>>();
    post("/sac/predict/batch", &format!("{{\"states\":[{}]}}", states.join(",")))
}

/// The same by the Open Inference Protocol, with binary tensors both ways, as tritonclient sends it.
pub fn infer(rows: usize) -> Vec<u8> {
    let tensor = (0..rows).flat_map(state).flat_map(|number| (number as f32).to_le_bytes()).collect::<Vec<_>>();
    let header = format!(
        r#"{{"inputs":[{{"name":"state","shape":[{rows},28],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}],"parameters":{{"binary_data_output":true}}}}"#,
        tensor.len()
    );
    let headers =
        format!("content-type: application/octet-stream\r\ninference-header-content-length: {}\r\n", header.len());
    request("POST", "/v2/models/sac/infer", &headers, [header.into_bytes(), tensor].concat())
}

/// Sends a request and waits for its answer.
pub fn ask(connection: &mut Connection, request: &[u8]) -> Result<Answer> {
    let answer = connection.ask(request)?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(answer)
}

/// Sends a request so many times over a connection without a pause. Returns the time of each.
pub fn load(connection: &mut Connection, request: &[u8], requests: usize) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        let start = Instant::now();
        ask(connection, request)?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// Sends a request so many times over several connections at once, each without a pause. Returns the time of each request, and
/// of all together.
///
/// Two threads serve all connections: if each had its own, the system would decide which of them waits.
pub fn load_together(
    address: SocketAddr,
    connections: usize,
    request: &[u8],
    requests: usize,
) -> Result<(Vec<Duration>, Duration)> {
    let (share, begin) = (requests / connections, Arc::new(Barrier::new(connections)));
    RUNTIME.block_on(async {
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            let (request, begin) = (request.to_vec(), begin.clone());
            clients.spawn(async move {
                let mut stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                // The first requests of a connection are not timed.
                for _ in 0..4 {
                    ask_async(&mut stream, &request).await?;
                }
                begin.wait().await;
                let (begin, mut times) = (Instant::now(), Vec::with_capacity(share));
                for _ in 0..share {
                    let start = Instant::now();
                    ask_async(&mut stream, &request).await?;
                    times.push(start.elapsed());
                }
                anyhow::Ok((times, begin, Instant::now()))
            });
        }
        let (mut all, mut first, mut last) = (Vec::new(), None, None);
        while let Some(client) = clients.join_next().await {
            let (times, begin, end) = client??;
            all.extend(times);
            first = first.min(Some(begin)).or(Some(begin));
            last = last.max(Some(end));
        }
        let whole = first.zip(last).map(|(first, last)| last - first);
        Ok((all, whole.unwrap_or_default()))
    })
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
});

async fn ask_async(stream: &mut TcpStream, request: &[u8]) -> Result<()> {
    stream.write_all(request).await?;
    let mut received = Vec::with_capacity(1024);
    loop {
        ensure!(stream.read_buf(&mut received).await? > 0, "the connection was closed");
        if let Some(answer) = Answer::take(&mut received, request)? {
            ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
            return Ok(());
        }
    }
}
