//! The route that measures the forward pass.

use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::call::{Call, forward, milliseconds, respond};
use super::error::Error;
use super::limits::{check, check_benchmark};
use super::loaded::{Loaded, Origin, Reply, Split};
use super::openapi::{Operation, Request, schema_of};
use super::sampling::Sampling;
use super::schema::{Field, Kind, Schema};
use super::values::Whole;
use crate::wit::{Batch, Outcome};

const MAX_ITERATIONS: u64 = 100_000;
/// The host lets a call take longer than this by default.
const MAX_SECONDS: u64 = 60;

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default)]
struct Benchmark {
    #[schemars(range(max = MAX_ITERATIONS))]
    warmup: Whole,
    #[schemars(range(min = 1, max = MAX_ITERATIONS))]
    iterations: Whole,
    #[schemars(range(min = 1))]
    batch_size: Whole,
}

impl Default for Benchmark {
    fn default() -> Self {
        Benchmark { warmup: Whole(50), iterations: Whole(1000), batch_size: Whole(1) }
    }
}

impl Schema for Benchmark {
    const FIELDS: &'static [Field] = &[
        Field { name: "warmup", kind: Kind::Count(0), required: false },
        Field { name: "iterations", kind: Kind::Count(1), required: false },
        Field { name: "batch_size", kind: Kind::Count(1), required: false },
    ];

    fn is_valid(&self) -> bool {
        self.iterations.0 >= 1 && self.batch_size.0 >= 1
    }
}

#[derive(Serialize, JsonSchema)]
struct Report<'a> {
    p50_ms: f64,
    p90_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    mean_ms: f64,
    min_ms: f64,
    max_ms: f64,
    iterations: u64,
    warmup: u64,
    batch_size: u64,
    throughput_per_s: f64,
    #[serde(flatten)]
    origin: Origin<'a>,
}

pub(super) const BENCHMARK: Operation = Operation {
    id: "benchmark",
    summary: "Measures the forward pass",
    request: Some(Request {
        schema: schema_of::<Benchmark>,
        required: false,
        example: |_| json!(Benchmark::default()),
    }),
    response: schema_of::<Report>,
    errors: &[400, 413, 422, 500, 503],
};

pub(super) fn benchmark(call: &mut Call) -> Result<Outcome, Error> {
    // The body is read where the benchmark runs: one at a time, beside nothing that others wait for.
    if call.has_long_body() {
        return Ok(Outcome::Benchmark);
    }
    let Benchmark { warmup: Whole(warmup), iterations: Whole(iterations), batch_size: Whole(batch_size) } =
        if call.body.is_empty() { Benchmark::default() } else { call.parse()? };
    let max_batch = u64::from(call.config.max_batch);
    let may_block = call.context.may_block;
    let loaded = call.model()?;
    for (name, got, limit) in [
        ("warmup", warmup, MAX_ITERATIONS),
        ("iterations", iterations, MAX_ITERATIONS),
        ("batch_size", batch_size, max_batch),
    ] {
        check(name, got, limit)?;
    }
    check_benchmark(batch_size, loaded.actor.state_dim(), loaded.actor.action_dim())?;
    if !may_block {
        return Ok(Outcome::Benchmark);
    }
    let states = states(batch_size as usize * loaded.actor.state_dim());
    let pass_ms = pass_milliseconds(loaded, &states)?;
    let seconds = ((warmup + iterations) as f64 * pass_ms / 1e3) as u64;
    check("the benchmark's seconds", seconds, MAX_SECONDS)?;
    let measurement = Measurement { states, warmup, iterations, batch_size, passes: 0, times: vec![] };
    if call.is_worth_splitting(batch_size as usize)? {
        // Batches of this size are computed by the owner, so that is what is measured.
        return Ok(measurement.pass(call.model()?));
    }
    measurement.run(call.model()?)
}

/// Goes on after a pass that the owner has computed since `start`.
pub fn go_on(loaded: &mut Loaded, mut measurement: Measurement, start: Instant) -> Result<Outcome, Error> {
    measurement.count(milliseconds(start));
    if measurement.is_done() { measurement.report(loaded) } else { Ok(measurement.pass(loaded)) }
}

/// A benchmark under way.
pub struct Measurement {
    states: Vec<f32>,
    warmup: u64,
    iterations: u64,
    batch_size: u64,
    /// The number of passes so far.
    passes: u64,
    /// The milliseconds of each pass after the warm-up.
    times: Vec<f64>,
}

impl Measurement {
    fn run(mut self, loaded: &mut Loaded) -> Result<Outcome, Error> {
        while !self.is_done() {
            let start = Instant::now();
            forward(&mut loaded.actor, &self.states, false)?;
            self.count(milliseconds(start));
        }
        self.report(loaded)
    }

    /// Lets the owner compute a pass.
    fn pass(self, loaded: &mut Loaded) -> Outcome {
        let batch = Batch { states: self.states.clone(), log_std: false };
        let sampling = Sampling { deterministic: true, seed: None };
        let (rows, reply) = (self.batch_size as usize, Reply::Report(self));
        loaded.split = Some(Split { rows, states: None, sampling, start: Instant::now(), reply });
        Outcome::Split(batch)
    }

    fn count(&mut self, milliseconds: f64) {
        self.passes += 1;
        if self.passes > self.warmup {
            self.times.push(milliseconds);
        }
    }

    fn is_done(&self) -> bool {
        self.passes >= self.warmup + self.iterations
    }

    fn report(self, loaded: &Loaded) -> Result<Outcome, Error> {
        let Measurement { warmup, iterations, batch_size, mut times, .. } = self;
        times.sort_by(f64::total_cmp);
        // A coarse clock may see no time pass. The divisor must not be zero.
        let total_ms = times.iter().sum::<f64>().max(1e-6);
        respond(
            200,
            &Report {
                p50_ms: percentile(&times, 50.0),
                p90_ms: percentile(&times, 90.0),
                p95_ms: percentile(&times, 95.0),
                p99_ms: percentile(&times, 99.0),
                mean_ms: total_ms / iterations as f64,
                min_ms: percentile(&times, 0.0),
                max_ms: percentile(&times, 100.0),
                iterations,
                warmup,
                batch_size,
                throughput_per_s: (iterations * batch_size) as f64 * 1e3 / total_ms,
                origin: Origin::from(loaded),
            },
        )
    }
}

/// Measures one pass, in milliseconds, after another one that prepares the backend for this number of rows.
fn pass_milliseconds(loaded: &mut Loaded, states: &[f32]) -> Result<f64, Error> {
    forward(&mut loaded.actor, states, false)?;
    let start = Instant::now();
    forward(&mut loaded.actor, states, false)?;
    Ok(milliseconds(start))
}

/// Returns numbers spread over [-1, 1), the same in every run (a Weyl sequence).
fn states(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.618_034).fract() * 2.0 - 1.0).collect()
}

/// Returns a percentile of ascending values, with linear interpolation between neighbours, which is numpy's default.
fn percentile(ascending: &[f64], percent: f64) -> f64 {
    let at = percent / 100.0 * (ascending.len() - 1) as f64;
    let (below, above) = (ascending[at.floor() as usize], ascending[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_interpolate_as_numpy_does() {
        let values = [1.0, 2.0, 3.0, 4.0];
        assert_eq!([0.0, 50.0, 90.0, 100.0].map(|p| percentile(&values, p)), [1.0, 2.5, 3.7, 4.0]);
        assert_eq!(percentile(&[5.0], 99.0), 5.0);
    }
}
