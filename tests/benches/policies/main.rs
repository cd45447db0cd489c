//! A thousand policies in one process: `cargo bench -p sac-tests --bench policies`.
//!
//! Each policy is the same network of 300 KB with another bias, so that an answer proves which policy computed it. A hundred
//! more folders hold broken files. The clients share the cores with the server.

mod load;
#[path = "../program/mod.rs"]
mod program;
mod root;
mod server;

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::load::Load;
use crate::root::{POLICIES, Root};
use crate::server::Server;

fn main() -> Result<()> {
    program::build()?;
    let root = Root::new()?;
    let alone = alone(&root)?;

    let server = Server::start(&root)?;
    let (empty, _) = server.memory()?;
    let cold = load::cold(&server, &root)?;
    let (full, anonymous) = server.memory()?;
    ensure!(server.metric("sac_policies_loaded ")? == POLICIES as f64, "a policy was evicted while it was in use");
    let threads = server.threads()?;
    let Load { warm, swapped, refused } = load::under_swaps(&server, &root)?;
    let (end, _) = server.memory()?;

    println!("| {POLICIES} policies in one process | |\n|---|---|");
    for (answer, times) in [
        ("first answer of a policy", &cold),
        ("answer of a loaded policy, while another is swapped", &warm),
        ("first answer after a swap", &swapped),
    ] {
        println!("| {answer}, p50 and p99 | {:.2} ms, {:.2} ms |", percentile(times, 50), percentile(times, 99));
    }
    let each = |bytes: u64| bytes.saturating_sub(empty) as f64 / POLICIES as f64 / 1e6;
    println!("| resident before the first policy is loaded | {:.0} MB |", megabytes(empty));
    println!("| resident with all of them | {:.0} MB, {:.2} MB for each |", megabytes(full), each(full));
    println!("| anonymous part of it | {:.0} MB |", megabytes(anonymous));
    println!("| resident after the swaps | {:.0} MB |", megabytes(end));
    println!(
        "| {POLICIES} processes of one policy, of {:.0} MB each | {:.0} MB |",
        megabytes(alone),
        megabytes(alone) * POLICIES as f64
    );
    println!("| threads | {threads} |");
    println!("| answers, each of which was the right policy's | {} |", cold.len() + warm.len() + swapped.len());
    println!("| swaps, and refusals of broken files | {}, {refused} |", swapped.len());
    Ok(())
}

/// Returns the resident memory of a process that serves one policy.
fn alone(root: &Root) -> Result<u64> {
    let server = Server::of_one(root)?;
    let answer = server.connect()?.ask(&root.predict("/sac/predict"))?;
    root.check(0, 0, &answer)?;
    Ok(server.memory()?.0)
}

/// Returns a percentile in milliseconds.
fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() * percent / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
