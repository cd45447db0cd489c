//! The requests that the servers are compared by, and the load of several connections. Every answer has to be a 200.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sac_tests::{Answer, Connection, request};

pub fn post(path: &str, body: &str) -> Vec<u8> {
    request("POST", path, "content-type: application/json\r\n", body)
}

/// A prediction for one state of 28 numbers.
pub fn predict() -> Vec<u8> {
    let state = (0..28).map(|i| format!("{:.6}", f64::from(i) / 28.0 - 0.5)).collect::<Vec<_>>().join(",");
    post("/sac/predict", &format!("{{\"state\":[{state}]}}"))
}

/// A prediction for so many states.
pub fn predict_batch(rows: usize) -> Vec<u8> {
    let state = |row: usize| (0..28).map(move |i| format!("{:.6}", ((row * 28 + i) as f64 * 0.618_034).fract() - 0.5));
    let states = (0..rows).map(|row| format!("[{}]", state(row).collect::<Vec<_>>().join(","))).collect::<Vec<_>>();
    post("/sac/predict/batch", &format!("{{\"states\":[{}]}}", states.join(",")))
}

/// Sends a request and waits for its answer.
pub fn ask(connection: &mut Connection, request: &[u8]) -> Result<Answer> {
    let answer = connection.ask(request)?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(answer)
}

/// Sends a request so many times over these connections without a pause. Returns the time of each, and of all together.
pub fn load(connections: &mut [Connection], request: &[u8], requests: usize) -> Result<(Vec<Duration>, Duration)> {
    let share = requests / connections.len();
    let start = Instant::now();
    let times = thread::scope(|scope| {
        let clients = connections.iter_mut().map(|connection| {
            scope.spawn(|| {
                let mut times = Vec::with_capacity(share);
                for _ in 0..share {
                    let start = Instant::now();
                    ask(connection, request)?;
                    times.push(start.elapsed());
                }
                anyhow::Ok(times)
            })
        });
        let clients = clients.collect::<Vec<_>>();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect::<Result<Vec<_>>>()
    })?;
    Ok((times.concat(), start.elapsed()))
}
