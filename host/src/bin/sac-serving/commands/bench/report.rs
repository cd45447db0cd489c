//! The report of a measurement, as text and as JSON.

use std::fmt::{self, Display};
use std::io::Write;

use anyhow::Result;
use serde_json::json;

use super::load::Outcome;
use crate::args::bench::BenchArgs;

const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
/// The length of the longest bar, in characters.
const BAR: f64 = 50.0;
/// The ratio of the bounds of two successive rows of the histogram.
const STEP: f64 = 1.25;
const MAX_ROWS: usize = 24;

/// The outcome of a measurement, with its arguments.
pub struct Report<'a> {
    pub args: &'a BenchArgs,
    pub outcome: Outcome,
}

/// A row of the histogram.
pub struct Row {
    /// The upper bound of the latencies, in nanoseconds.
    pub to: f64,
    pub requests: u64,
}

/// A time in nanoseconds, which is shown in a suitable unit.
pub struct Time(pub f64);

impl Report<'_> {
    pub fn print(&self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        match self.args.json {
            true => writeln!(out, "{:#}", self.json())?,
            false => write!(out, "{self}")?,
        }
        Ok(())
    }

    /// Returns the number of responses a second.
    pub fn per_second(&self) -> f64 {
        self.outcome.in_time as f64 / self.outcome.elapsed.as_secs_f64()
    }

    /// Returns the percentiles, the maximum and the mean, each as a name and nanoseconds.
    pub fn latencies(&self) -> Vec<(&'static str, f64)> {
        let latencies = &self.outcome.latencies;
        let at = |(name, share)| (name, latencies.value_at_quantile(share) as f64);
        let rest = [("max", latencies.max() as f64), ("mean", latencies.mean())];
        PERCENTILES.into_iter().map(at).chain(rest).collect()
    }

    /// Returns the rows of the histogram, from the smallest latency to the 99.9th percentile. The last row includes all larger
    /// latencies.
    pub fn rows(&self) -> Vec<Row> {
        let latencies = &self.outcome.latencies;
        let (least, most) = (latencies.min().max(1) as f64, latencies.value_at_quantile(0.999) as f64);
        let count = ((most / least).ln() / STEP.ln()).ceil().clamp(1.0, MAX_ROWS as f64);
        let step = (most / least).powf(1.0 / count).max(1.0 + 1e-9);
        let (mut rows, mut from) = (Vec::new(), 0);
        for row in 1..=count as i32 {
            let last = row == count as i32;
            // A row ends where a bucket ends. Otherwise two rows would count the same bucket.
            let to = if last { latencies.max() } else { latencies.highest_equivalent((least * step.powi(row)) as u64) };
            rows.push(Row { to: to as f64, requests: latencies.count_between(from, to.max(from)) });
            from = to.max(from) + 1;
        }
        rows
    }

    fn json(&self) -> serde_json::Value {
        let latencies = self.latencies().into_iter().map(|(name, time)| (name.to_owned(), json!(time / 1e9)));
        json!({
            "checkpoints": self.outcome.checkpoints,
            "connections": self.args.connections,
            "batch_size": self.args.batch,
            "planned_per_second": self.args.rate,
            "duration_seconds": self.outcome.elapsed.as_secs_f64(),
            "requests": self.outcome.latencies.len(),
            "requests_per_second": self.per_second(),
            "not_asked": self.outcome.not_sent,
            "errors": self.outcome.errors,
            "latency_seconds": latencies.collect::<serde_json::Map<_, _>>(),
        })
    }
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { latencies, not_sent, errors, checkpoints, elapsed, .. } = &self.outcome;
        let requests = latencies.len();
        for (index, checkpoint) in checkpoints.iter().enumerate() {
            writeln!(f, "{:<13}{checkpoint}", if index == 0 { "answered by" } else { "and by" })?;
        }
        let (rate, connections) = (self.per_second(), self.args.connections);
        let (seconds, plural) = (elapsed.as_secs_f64(), if connections == 1 { "" } else { "s" });
        writeln!(
            f,
            "requests     {requests} in {seconds:.1} s: {rate:.0} a second over {connections} connection{plural}"
        )?;
        if let Some(batch) = self.args.batch {
            writeln!(f, "states       {:.0} a second, {batch} in a batch", rate * f64::from(batch))?;
        }
        if let Some(planned) = self.args.rate {
            writeln!(f, "planned      {planned} a second; {not_sent} not sent before the end")?;
        }
        for (error, times) in errors {
            writeln!(f, "errors       {times} × {error}")?;
        }
        for (name, time) in self.latencies() {
            writeln!(f, "{name:<13}{}", Time(time))?;
        }
        writeln!(f)?;
        let rows = self.rows();
        let most = rows.iter().map(|row| row.requests).max().unwrap_or(1).max(1) as f64;
        for row in rows {
            let bar = "█".repeat((row.requests as f64 / most * BAR).ceil() as usize);
            writeln!(f, "{:>11}  {bar} {}", format!("≤ {}", Time(row.to)), row.requests)?;
        }
        Ok(())
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            ns if ns < 1e6 => (ns / 1e3, "µs"),
            ns if ns < 1e9 => (ns / 1e6, "ms"),
            ns => (ns / 1e9, "s"),
        };
        let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        write!(f, "{value:.places$} {unit}")
    }
}
