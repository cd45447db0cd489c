//! Measures the servers in turns. What a server is, and how a figure is shown, is in `server` and `report`.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sac_tests::Connection;
use serde_json::json;

use crate::client::{ask, load, post, predict};
use crate::server::{Kind, Server};

/// The number of rounds that measure everything.
pub struct Effort {
    /// Every server has a turn in each round.
    rounds: usize,
    requests: usize,
    swaps: usize,
    /// Swaps under load, one each 50 ms.
    disturbances: usize,
}

impl Effort {
    pub const FULL: Effort = Effort { rounds: 10, requests: 2000, swaps: 100, disturbances: 100 };
    pub const QUICK: Effort = Effort { rounds: 3, requests: 500, swaps: 20, disturbances: 20 };
}

pub const CONNECTIONS: [usize; 3] = [1, 16, 64];
pub const BATCHES: [usize; 3] = [1, 32, 256];

/// The figures of one server. Times are medians unless they say otherwise.
#[derive(Default, Clone)]
pub struct Figures {
    /// One for each of [`CONNECTIONS`].
    pub http: [Http; CONNECTIONS.len()],
    /// The forward pass alone, one for each of [`BATCHES`].
    pub forward: [Duration; BATCHES.len()],
    pub load: Duration,
    /// The time from a rename to the first answer of the new file: p50 and p99.
    pub swap: [Duration; 2],
    /// The p99.9 of requests while the file is replaced each 50 ms.
    pub disturbed: Duration,
    pub start: Duration,
    /// With an empty cache.
    pub first_start: Option<Duration>,
    /// The resident memory and the anonymous part of it in bytes, at rest and at the end.
    pub memory: [(u64, u64); 2],
}

#[derive(Default, Clone, Copy)]
pub struct Http {
    pub p50: Duration,
    pub p99: Duration,
    pub per_second: f64,
}

/// Measures all servers in turns.
pub fn all(servers: &mut [Server], effort: &Effort) -> Result<Vec<Figures>> {
    let mut figures = vec![Figures::default(); servers.len()];
    for (server, figures) in servers.iter().zip(&mut figures) {
        figures.start = server.start;
        figures.memory[0] = server.memory()?;
    }
    for (index, connections) in CONNECTIONS.into_iter().enumerate() {
        for (of, figures) in http(servers, connections, effort)?.into_iter().zip(&mut figures) {
            figures.http[index] = of;
        }
    }
    for (index, batch) in BATCHES.into_iter().enumerate() {
        for (of, figures) in forward(servers, batch, effort)?.into_iter().zip(&mut figures) {
            figures.forward[index] = of;
        }
    }
    for (server, figures) in servers.iter().zip(&mut figures) {
        eprintln!("load and swap: {}", server.kind.name());
        figures.load = reload(server, effort)?;
        figures.swap = swap(server, effort)?;
        figures.disturbed = disturb(server, effort)?;
        figures.memory[1] = server.memory()?;
        if server.kind == Kind::SacServing {
            eprintln!("first start: {}", server.kind.name());
            figures.first_start = Some(Server::first_start(server.kind)?);
        }
    }
    Ok(figures)
}

fn http(servers: &[Server], connections: usize, effort: &Effort) -> Result<Vec<Http>> {
    let open = |server: &Server| (0..connections).map(|_| Ok(Connection::open(server.address)?)).collect();
    let mut clients = servers.iter().map(open).collect::<Result<Vec<Vec<_>>>>()?;
    let mut times = vec![(Vec::new(), Duration::ZERO); servers.len()];
    for round in 0..=effort.rounds {
        eprintln!("{connections} connections: round {round} of {}", effort.rounds);
        for (clients, (times, whole)) in clients.iter_mut().zip(&mut times) {
            let (of_round, took) = load(clients, effort.requests)?;
            // The first warms up.
            if round > 0 {
                times.extend(of_round);
                *whole += took;
            }
        }
    }
    Ok(times
        .into_iter()
        .map(|(mut times, whole)| {
            let per_second = times.len() as f64 / whole.as_secs_f64();
            Http { p50: percentile(&mut times, 50.0), p99: percentile(&mut times, 99.0), per_second }
        })
        .collect())
}

fn forward(servers: &[Server], batch: usize, effort: &Effort) -> Result<Vec<Duration>> {
    let body = json!({ "warmup": 50, "iterations": 60_000 / batch.max(6), "batch_size": batch });
    let request = post("/sac/benchmark", &body.to_string());
    let mut times = vec![Vec::new(); servers.len()];
    for round in 1..=effort.rounds {
        eprintln!("forward pass of {batch}: round {round} of {}", effort.rounds);
        for (server, times) in servers.iter().zip(&mut times) {
            let answer = ask(&mut Connection::open(server.address)?, &request)?;
            let milliseconds = answer.json()["p50_ms"].as_f64().context("no p50_ms")?;
            times.push(Duration::from_secs_f64(milliseconds / 1e3));
        }
    }
    Ok(times.into_iter().map(|mut times| percentile(&mut times, 50.0)).collect())
}

fn reload(server: &Server, effort: &Effort) -> Result<Duration> {
    let (mut connection, request) = (Connection::open(server.address)?, post("/sac/model/reload", ""));
    let mut times = Vec::new();
    for _ in 0..effort.swaps {
        let start = Instant::now();
        ask(&mut connection, &request)?;
        times.push(start.elapsed());
    }
    Ok(percentile(&mut times, 50.0))
}

fn swap(server: &Server, effort: &Effort) -> Result<[Duration; 2]> {
    let (mut connection, request) = (Connection::open(server.address)?, predict());
    let mut modified = ask(&mut connection, &request)?.json()["model_mtime_utc"].clone();
    let mut times = Vec::new();
    for _ in 0..effort.swaps {
        server.swap()?;
        let start = Instant::now();
        // While a server loads, it may still answer from the old file.
        loop {
            let found = ask(&mut connection, &request)?.json()["model_mtime_utc"].clone();
            if found != modified {
                modified = found;
                break;
            }
        }
        times.push(start.elapsed());
    }
    Ok([50.0, 99.0].map(|percent| percentile(&mut times, percent)))
}

/// Measures two clients that ask without a pause while the file is replaced again and again.
fn disturb(server: &Server, effort: &Effort) -> Result<Duration> {
    let mut clients = [Connection::open(server.address)?, Connection::open(server.address)?];
    thread::scope(|scope| {
        let swaps = scope.spawn(|| {
            for _ in 0..effort.disturbances {
                server.swap()?;
                thread::sleep(Duration::from_millis(50));
            }
            anyhow::Ok(())
        });
        let mut times = Vec::new();
        while !swaps.is_finished() {
            times.extend(load(&mut clients, 200)?.0);
        }
        swaps.join().expect("a swap does not panic")?;
        Ok(percentile(&mut times, 99.9))
    })
}

fn percentile(times: &mut [Duration], percent: f64) -> Duration {
    times.sort_unstable();
    let index = (times.len() as f64 * percent / 100.0) as usize;
    times.get(index.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
