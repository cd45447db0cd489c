//! A stream against kept HTTP, over loopback and in turns: `cargo bench -p sac-tests --bench stream`.

#[path = "program/mod.rs"]
#[allow(dead_code, reason = "it does not ask for memory")]
mod program;

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sac_tests::{Connection, Process, checkpoint, publish, request};
use serde_json::json;
use tempfile::tempdir;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

const ROUNDS: usize = 20;
/// The number of predictions of a round, without a pause and with one.
const AT_ONCE: usize = 5_000;
const PACED: usize = 500;
/// The pause of a control loop between an action and the next state.
const PAUSE: Duration = Duration::from_millis(1);

/// The clients, which ask the same.
struct Clients {
    http: Connection,
    request: Vec<u8>,
    stream: WebSocket<TcpStream>,
    message: String,
}

fn main() -> Result<()> {
    program::build()?;
    let mut command = Command::new(program::path()?);
    command.arg("serve").args(["--listen", "127.0.0.1:0"]);
    let folder = tempdir()?;
    publish(&folder.path().join("model_a.onnx"), &checkpoint("stat_pair_03000"));
    command.arg("--dir").arg(folder.path());
    let mut process = Process::spawn(command)?;
    let address = process.address();
    process.read_on(drop);

    let mut clients = Clients::connect(address)?;
    println!("| | kept HTTP p50 | p99 | stream p50 | p99 |\n|---|---|---|---|---|");
    for (name, count, pause) in [("one after the other", AT_ONCE, None), ("one a millisecond", PACED, Some(PAUSE))] {
        // The first round warms up.
        clients.round(count, pause)?;
        let (mut http, mut stream) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (of_http, of_stream) = clients.round(count, pause)?;
            http.extend(of_http);
            stream.extend(of_stream);
        }
        let [p50, p99] = [50, 99].map(|percent| (percentile(&mut http, percent), percentile(&mut stream, percent)));
        let ratio = |(http, stream): (f64, f64)| format!("{stream:.1} µs (× {:.2})", stream / http);
        println!("| {name} | {:.1} µs | {:.1} µs | {} | {} |", p50.0, p99.0, ratio(p50), ratio(p99));
    }
    Ok(())
}

impl Clients {
    fn connect(address: SocketAddr) -> Result<Clients> {
        let state = [0.1; 28];
        let message = json!({ "state": state }).to_string();
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let (stream, _) = tungstenite::client(format!("ws://{address}/sac/stream"), socket)
            .map_err(|error| anyhow::anyhow!("no stream: {error}"))?;
        let request = request("POST", "/sac/predict", "", &message);
        Ok(Clients { http: Connection::open(address)?, request, stream, message })
    }

    /// Returns the times of both clients.
    fn round(&mut self, count: usize, pause: Option<Duration>) -> Result<(Vec<Duration>, Vec<Duration>)> {
        let Clients { http, request, stream, message } = self;
        let of_http = times(count, pause, || {
            let answer = http.ask(request)?;
            ensure!(answer.status == 200, "{}", answer.text());
            Ok(())
        });
        let of_stream = times(count, pause, || {
            stream.send(Message::text(message.as_str()))?;
            let answer = stream.read()?;
            ensure!(answer.to_text()?.starts_with(r#"{"action":"#), "{answer}");
            Ok(())
        });
        Ok((of_http?, of_stream?))
    }
}

fn times(count: usize, pause: Option<Duration>, mut ask: impl FnMut() -> Result<()>) -> Result<Vec<Duration>> {
    let time = |_| {
        pause.inspect(|pause| sleep(*pause));
        let start = Instant::now();
        ask().context("no prediction")?;
        Ok(start.elapsed())
    };
    (0..count).map(time).collect()
}

/// Returns a percentile in microseconds.
fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times.get(times.len() * percent / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}
