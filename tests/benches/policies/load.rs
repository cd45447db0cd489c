//! The requests, each of whose answers is compared with what its policy computes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use sac_tests::Connection;

use crate::root::{BROKEN, POLICIES, Root, broken, name};
use crate::server::Server;

/// The time in which one policy is swapped.
const SWAPS: Duration = Duration::from_secs(20);
const PERIOD: Duration = Duration::from_millis(10);

/// The times of the answers under swaps.
pub struct Load {
    /// The answers of the policies that are not swapped.
    pub warm: Vec<Duration>,
    /// The first answer of the swapped policy after each rename.
    pub swapped: Vec<Duration>,
    /// The number of answers that a broken file is refused.
    pub refused: usize,
}

/// Asks each policy for the first time.
pub fn cold(server: &Server, root: &Root) -> Result<Vec<Duration>> {
    let mut connection = server.connect()?;
    let mut times = Vec::with_capacity(POLICIES);
    for number in 0..POLICIES {
        times.push(ask(&mut connection, root, number)?);
    }
    Ok(times)
}

/// Asks all policies but the first in turns, while that one is swapped and broken files are asked for.
pub fn under_swaps(server: &Server, root: &Root) -> Result<Load> {
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        let warm = scope.spawn(|| warm(server, root, &ends));
        let refused = scope.spawn(|| refusals(server, root, &ends));
        let swapped = swaps(server, root);
        ends.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow!("a client panicked");
        let (warm, refused) = (warm.join().map_err(panicked)??, refused.join().map_err(panicked)??);
        Ok(Load { warm, swapped: swapped?, refused })
    })
}

fn warm(server: &Server, root: &Root, ends: &AtomicBool) -> Result<Vec<Duration>> {
    let mut connection = server.connect()?;
    let mut times = Vec::new();
    // A prime number of steps reaches all policies in an order that no cache of the processor knows.
    for number in (1..).map(|step: usize| step.wrapping_mul(7919) % POLICIES).filter(|number| *number > 0) {
        if ends.load(Ordering::Relaxed) {
            break;
        }
        times.push(ask(&mut connection, root, number)?);
    }
    Ok(times)
}

/// Asks one policy, checks its action, and returns the time that the answer took.
fn ask(connection: &mut Connection, root: &Root, number: usize) -> Result<Duration> {
    let request = predict(root, &name(number));
    let start = Instant::now();
    let answer = connection.ask(&request)?;
    let time = start.elapsed();
    root.check(number, 0, &answer)?;
    Ok(time)
}

/// Swaps the first policy. The request after a rename has to be answered by the new file.
fn swaps(server: &Server, root: &Root) -> Result<Vec<Duration>> {
    let mut connection = server.connect()?;
    let (request, begin) = (predict(root, &name(0)), Instant::now());
    let mut times = Vec::new();
    while begin.elapsed() < SWAPS {
        let next = Instant::now() + PERIOD;
        let version = times.len() + 1;
        root.publish(0, version)?;
        let start = Instant::now();
        let answer = connection.ask(&request)?;
        times.push(start.elapsed());
        root.check(0, version, &answer)?;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(times)
}

/// Asks for the broken policies in turns.
fn refusals(server: &Server, root: &Root, ends: &AtomicBool) -> Result<usize> {
    let mut connection = server.connect()?;
    let mut refused = 0;
    while !ends.load(Ordering::Relaxed) {
        let answer = connection.ask(&predict(root, &broken(refused % BROKEN)))?;
        ensure!(answer.status == 500, "a broken file: {}: {}", answer.status, answer.text());
        refused += 1;
        thread::sleep(PERIOD);
    }
    Ok(refused)
}

fn predict(root: &Root, name: &str) -> Vec<u8> {
    root.predict(&format!("/policies/{name}/sac/predict"))
}
