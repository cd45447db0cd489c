//! The most numbers that one request computes. `--max-batch` limits rows, which may be of any length.

use super::error::Error;

/// The most numbers of an answer, which are 3 MB of JSON: as many as 4,096 actions of 64 numbers, or 16 of the longest.
const MAX_ANSWER: u64 = 1 << 18;

/// The most bytes of the `id` of an inference request, which its answer repeats. A UUID has 36.
pub const MAX_ID: usize = 1 << 10;

/// The most numbers of a benchmark, which take 16 MiB: as many as 4,096 rows of 1,024 numbers, or 20 of the largest images
/// that policies take.
const MAX_BENCHMARK: u64 = 1 << 22;

/// Checks the number of actions of an answer.
pub fn check_answer(rows: usize, action_dim: usize) -> Result<(), Error> {
    let got = (rows as u64).saturating_mul(action_dim as u64);
    check("the numbers of the answer (states times action_dim)", got, MAX_ANSWER)
}

/// Checks the number of outputs of an answer, each of which is as long as the actions.
pub fn check_outputs(rows: usize, action_dim: usize, outputs: usize) -> Result<(), Error> {
    let got = (rows as u64).saturating_mul(action_dim as u64).saturating_mul(outputs as u64);
    check("the numbers of the answer (states times action_dim times outputs)", got, MAX_ANSWER)
}

/// Checks the batch of a benchmark.
pub fn check_benchmark(batch_size: u64, state_dim: usize, action_dim: usize) -> Result<(), Error> {
    let row = (state_dim as u64).saturating_add(action_dim as u64);
    let name = "the numbers of the benchmark (batch_size times state_dim and action_dim)";
    check(name, batch_size.saturating_mul(row), MAX_BENCHMARK)
}

pub fn check(name: &'static str, got: u64, limit: u64) -> Result<(), Error> {
    if got > limit { Err(Error::OverLimit { name, got, limit }) } else { Ok(()) }
}
