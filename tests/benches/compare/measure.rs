//! Measures the servers in turns. What a server is, and how a figure is shown, is in `server` and `report`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sac_tests::Connection;
use serde_json::json;

use crate::client::{ask, infer, load, load_together, post, predict, predict_batch};
use crate::figures::{Figures, P50, P99, P999};
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
    pub const FULL: Effort = Effort { rounds: 10, requests: 2000, swaps: 20, disturbances: 20 };
    pub const QUICK: Effort = Effort { rounds: 3, requests: 500, swaps: 10, disturbances: 10 };
}

const CONNECTIONS: [usize; 3] = [1, 16, 64];
const BATCHES: [usize; 3] = [1, 32, 256];
/// The time before the memory at rest is read: what a server does after its first answer has ended.
const REST: Duration = Duration::from_secs(1);

/// One server with its figures.
pub struct Measured<'a> {
    pub server: &'a Server,
    pub figures: Figures,
}

/// Measures all servers in turns.
pub fn all<'a>(servers: &'a [Server], effort: &Effort) -> Result<Vec<Measured<'a>>> {
    thread::sleep(REST);
    let at_rest = servers.iter().map(Server::memory).collect::<Result<Vec<_>>>()?;
    let mut measured =
        servers.iter().map(|server| Measured { server, figures: Figures::default() }).collect::<Vec<_>>();
    let turns: [(&str, Turn); 4] = [("requests", http), ("batches", batches), ("forward", forward), ("swaps", swaps)];
    for (name, turn) in turns {
        for round in 0..=effort.rounds {
            eprintln!("{name}: round {round} of {}", effort.rounds);
            for Measured { server, figures } in &mut measured {
                // The first round warms up.
                let mut warmup = Figures::default();
                turn(server, if round == 0 { &mut warmup } else { figures }, effort)?;
            }
        }
    }
    for (Measured { server, figures }, (resident, anonymous)) in measured.iter_mut().zip(at_rest) {
        figures.add_time("start to first answer", P50, [server.start]);
        if server.kind == Kind::SacServing {
            figures.add_time("the very first start", P50, [Server::first_start(server.kind)?]);
        }
        figures.add("resident at rest", "B", P50, [resident as f64]);
        figures.add("of it anonymous", "B", P50, [anonymous as f64]);
        figures.add("resident at the end", "B", P50, [server.memory()?.0 as f64]);
    }
    Ok(measured)
}

/// Measures one server for a part of a round.
type Turn = fn(&Server, &mut Figures, &Effort) -> Result<()>;

fn http(server: &Server, figures: &mut Figures, effort: &Effort) -> Result<()> {
    for connections in CONNECTIONS {
        let (times, whole) = if connections == 1 {
            let mut connection = Connection::open(server.address)?;
            load(&mut connection, &predict(), 4)?;
            let start = Instant::now();
            (load(&mut connection, &predict(), effort.requests)?, start.elapsed())
        } else {
            load_together(server.address, connections, &predict(), effort.requests)?
        };
        let on = |what: &str| format!("{what}, {connections} connection{}", if connections == 1 { "" } else { "s" });
        let per_second = times.len() as f64 / whole.as_secs_f64();
        figures.add_time(&on("predict p50"), P50, times.iter().copied());
        figures.add_time(&on("predict p99"), P99, times);
        figures.add(&on("predictions a second"), "", P50, [per_second]);
    }
    Ok(())
}

fn batches(server: &Server, figures: &mut Figures, effort: &Effort) -> Result<()> {
    if !server.kind.has_all_routes() {
        return Ok(());
    }
    let mut connection = Connection::open(server.address)?;
    for rows in &BATCHES[1..] {
        let times = load(&mut connection, &predict_batch(*rows), effort.requests / 10)?;
        figures.add_time(&format!("predict/batch of {rows} p50"), P50, times);
    }
    if server.kind == Kind::SacServing {
        for rows in &BATCHES[1..] {
            let times = load(&mut connection, &infer(*rows), effort.requests / 10)?;
            figures.add_time(&format!("infer of {rows} p50, binary tensors"), P50, times);
        }
    }
    Ok(())
}

fn forward(server: &Server, figures: &mut Figures, _: &Effort) -> Result<()> {
    if !server.kind.has_all_routes() {
        return Ok(());
    }
    for batch in BATCHES {
        let body = json!({ "warmup": 50, "iterations": 60_000 / batch.max(6), "batch_size": batch });
        let request = post("/sac/benchmark", &body.to_string());
        let answer = ask(&mut Connection::open(server.address)?, &request)?;
        let milliseconds = answer.json()["p50_ms"].as_f64().context("no p50_ms")?;
        figures.add(&format!("forward pass, {batch}"), "s", P50, [milliseconds / 1e3]);
    }
    Ok(())
}

fn swaps(server: &Server, figures: &mut Figures, effort: &Effort) -> Result<()> {
    if server.kind.has_all_routes() {
        figures.add_time("forced reload", P50, reload(server, effort)?);
        let times = swap(server, effort)?;
        figures.add_time("first answer after a rename, p50", P50, times.iter().copied());
        figures.add_time("first answer after a rename, p99", P99, times);
        figures.add_time("p99.9 while swapped each 50 ms", P999, disturb(server, effort)?);
    }
    Ok(())
}

fn reload(server: &Server, effort: &Effort) -> Result<Vec<Duration>> {
    let (mut connection, request) = (Connection::open(server.address)?, post("/sac/model/reload", ""));
    let mut times = Vec::new();
    for _ in 0..effort.swaps {
        let start = Instant::now();
        ask(&mut connection, &request)?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn swap(server: &Server, effort: &Effort) -> Result<Vec<Duration>> {
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
    Ok(times)
}

/// Measures two clients that ask without a pause while the file is replaced again and again.
fn disturb(server: &Server, effort: &Effort) -> Result<Vec<Duration>> {
    let (request, is_over) = (predict(), AtomicBool::new(false));
    let ask_on = || {
        let mut connection = Connection::open(server.address)?;
        load(&mut connection, &request, 4)?;
        let mut times = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            times.extend(load(&mut connection, &request, 100)?);
        }
        anyhow::Ok(times)
    };
    thread::scope(|scope| {
        let clients = [scope.spawn(ask_on), scope.spawn(ask_on)];
        let swapped = (0..effort.disturbances).try_for_each(|_| {
            server.swap()?;
            thread::sleep(Duration::from_millis(50));
            Ok(())
        });
        is_over.store(true, Ordering::Relaxed);
        let times = clients.map(|client| client.join().expect("a client does not panic"));
        swapped.and_then(|()| Ok(times.into_iter().collect::<Result<Vec<_>>>()?.concat()))
    })
}
