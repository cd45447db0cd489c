//! Collects what the soak sees, and judges it at the end.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::program;
use crate::server::Server;

/// A process that has served for a minute grows no more than this, and keeps no more descriptors than its clients have.
const MOST_GROWTH: u64 = 32 << 20;
const MOST_DESCRIPTORS: usize = 500;
/// A longer time is recorded as this.
const LONGEST: Duration = Duration::from_secs(120);
const SETTLED: Duration = Duration::from_secs(60);

/// Everything that was seen.
#[derive(Default)]
pub struct Record(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// The times of the answers in microseconds, by question and status.
    answers: BTreeMap<(String, u16), Option<Histogram<u64>>>,
    counts: BTreeMap<String, u64>,
    unexpected: Vec<String>,
    looks: Vec<Look>,
}

/// The state of a process at a time since the start of the run.
#[derive(Clone, Copy)]
struct Look {
    at: Duration,
    process: u32,
    memory: u64,
    anonymous: u64,
    descriptors: usize,
}

impl Record {
    pub fn answered(&self, question: &str, status: u16, time: Duration) {
        let mut seen = self.seen();
        let times = seen
            .answers
            .entry((question.to_owned(), status))
            .or_insert_with(|| Histogram::new_with_max(LONGEST.as_micros() as u64, 3).ok());
        if let Some(times) = times {
            times.saturating_record(time.as_micros() as u64);
        }
    }

    pub fn count(&self, what: impl Into<String>) {
        *self.seen().counts.entry(what.into()).or_default() += 1;
    }

    pub fn unexpected(&self, what: String) {
        eprintln!("unexpected: {what}");
        self.seen().unexpected.push(what);
    }

    pub fn look(&self, server: &Server, at: Duration) -> Result<()> {
        let process = server.process();
        let (memory, anonymous) = program::memory(process)?;
        let descriptors = fs::read_dir(format!("/proc/{process}/fd"))?.count();
        let look = Look { at, process, memory, anonymous, descriptors };
        let mut seen = self.seen();
        let answers = seen.answers.values().flatten().map(Histogram::len).sum::<u64>();
        eprintln!("{look}, {answers} answers, {} unexpected", seen.unexpected.len());
        seen.looks.push(look);
        Ok(())
    }

    /// Prints the record. Returns `true` if everything was as expected.
    pub fn report(&self, server: &Server, published: u64) -> bool {
        let mut seen = self.seen();
        println!(
            "\n{:<22}{:>7}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "asked", "status", "answers", "p50 ms", "p99", "p99.9", "most"
        );
        for ((question, status), times) in &seen.answers {
            let Some(times) = times else { continue };
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| times.value_at_quantile(part) as f64 / 1e3);
            let most = times.max() as f64 / 1e3;
            println!("{question:<22}{status:>7}{:>10}{p50:>10.2}{p99:>10.2}{p999:>10.2}{most:>10.2}", times.len());
        }
        println!("\n{published} checkpoints published");
        println!("{} put into service, by the log", server.log.swaps.load(Ordering::Relaxed));
        println!("{} refused, by the log", server.log.refusals.load(Ordering::Relaxed));
        for (what, count) in &seen.counts {
            println!("{count} × {what}");
        }
        println!();
        for life in seen.looks.clone().chunk_by(|one, other| one.process == other.process) {
            seen.unexpected.extend(judge(life));
        }
        let errors = server.log.errors.lock().unwrap_or_else(PoisonError::into_inner);
        seen.unexpected.extend(errors.iter().map(|line| format!("in the log: {line}")));
        println!("\n{} unexpected", seen.unexpected.len());
        seen.unexpected.iter().take(20).for_each(|what| println!("  {what}"));
        seen.unexpected.is_empty()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints the life of one process, and returns what is wrong with it.
fn judge(life: &[Look]) -> Vec<String> {
    let (Some(first), Some(last)) = (life.first(), life.last()) else { return vec![] };
    let settled = life.iter().find(|look| look.at >= first.at + SETTLED).unwrap_or(last);
    println!("first     {first}\nsettled   {settled}\nlast      {last}");
    let mut wrong = Vec::new();
    if last.memory > settled.memory + MOST_GROWTH {
        wrong.push(format!("memory grew from {} to {} bytes", settled.memory, last.memory));
    }
    if let Some(look) = life.iter().find(|look| look.descriptors > MOST_DESCRIPTORS) {
        wrong.push(format!("{} descriptors", look.descriptors));
    }
    wrong
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let Look { at, process, memory, anonymous, descriptors } = self;
        let (memory, anonymous) = (mebibytes(*memory), mebibytes(*anonymous));
        write!(
            f,
            "{:>5} s: process {process} has {memory:.1} MiB ({anonymous:.1} anonymous), {descriptors} descriptors",
            at.as_secs()
        )
    }
}
