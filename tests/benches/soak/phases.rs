//! The latencies of good requests beside each nuisance, compared with those of a quiet server.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use sac_tests::Connection;

use crate::Soak;
use crate::folder::STATE;
use crate::nuisance::{self, Nuisance};
use crate::server::request;

/// The 99th percentile may be so many times that of a quiet server.
const MOST: f64 = 10.0;
/// A quiet server's percentile counts as at least this: below it, the scheduler of a busy machine decides.
const LEAST: Duration = Duration::from_millis(1);
/// The pause between two requests of a client.
const PAUSE: Duration = Duration::from_millis(5);

/// Gives each nuisance the same part of the time, after a quiet part.
pub fn run(soak: &Soak, time: Duration) -> Result<()> {
    let swaps: Nuisance = |soak| {
        if let Err(error) = soak.folder.swap_until_over(soak) {
            soak.record.unexpected(format!("the folder: {error:#}"));
        }
    };
    let nuisances = [("quiet", None), ("swaps", Some(swaps))].into_iter();
    let nuisances = nuisances.chain(nuisance::ALL.map(|(name, nuisance)| (name, Some(nuisance)))).collect::<Vec<_>>();
    let part = time / nuisances.len() as u32;
    let (mut quiet, mut worse) = (None, Vec::new());
    println!("{:<10}{:>12}{:>9}{:>14}{:>9}", "nuisance", "predict p99", "ratio", "liveness p99", "ratio");
    for (name, nuisance) in nuisances {
        let [predict, liveness] = phase(soak, part, nuisance)?;
        let [quiet_predict, quiet_liveness] = *quiet.get_or_insert([predict, liveness]);
        let ratio = |now: Duration, quiet: Duration| now.as_secs_f64() / quiet.max(LEAST).as_secs_f64();
        let ratios = [ratio(predict, quiet_predict), ratio(liveness, quiet_liveness)];
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let (predict, liveness) = (milliseconds(predict), milliseconds(liveness));
        println!("{name:<10}{predict:>9.2} ms{:>9.2}{liveness:>11.2} ms{:>9.2}", ratios[0], ratios[1]);
        // A swap is waited for, which is what the server promises.
        if name != "swaps" && ratios.iter().any(|ratio| *ratio > MOST) {
            worse.push(name);
        }
    }
    if !worse.is_empty() {
        bail!("more than {MOST} times the quiet latency beside: {}", worse.join(", "));
    }
    Ok(())
}

/// Returns the 99th percentiles of predictions and of liveness beside one nuisance.
fn phase(soak: &Soak, time: Duration, nuisance: Option<Nuisance>) -> Result<[Duration; 2]> {
    let predict = request("POST", "/sac/predict", "", STATE);
    let liveness = request("GET", "/healthz", "", "");
    soak.over.store(false, Ordering::Relaxed);
    let times = thread::scope(|scope| {
        if let Some(nuisance) = nuisance {
            scope.spawn(move || nuisance(soak));
        }
        let clients = [&predict, &liveness].map(|asked| scope.spawn(move || measure(soak, asked)));
        thread::sleep(time);
        soak.over.store(true, Ordering::Relaxed);
        clients.map(|client| client.join().expect("a client does not panic"))
    });
    let [predict, liveness] = times;
    let percentile = |times: Histogram<u64>| Duration::from_micros(times.value_at_quantile(0.99));
    Ok([percentile(predict?), percentile(liveness?)])
}

fn measure(soak: &Soak, asked: &[u8]) -> Result<Histogram<u64>> {
    let mut times = Histogram::new(3)?;
    let mut connection = Connection::open(soak.server.address)?;
    while soak.goes_on() {
        let start = Instant::now();
        let answer = connection.ask(asked)?;
        times.saturating_record(start.elapsed().as_micros() as u64);
        if answer.status != 200 {
            bail!("{} {}", answer.status, answer.text());
        }
        thread::sleep(PAUSE);
    }
    Ok(times)
}
