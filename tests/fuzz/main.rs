//! Whatever bytes come, there is an answer of the contract. Cases are drawn from a seed, so that each run of the tests draws
//! the same: `SAC_FUZZ_SEED=2 SAC_FUZZ_SCALE=100` draws a hundred times as many others, `SAC_FUZZ_CASE=17` that one alone.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod cases;
mod checkpoint;
mod contract;
mod http;
mod memory;
mod mutation;
mod request;
mod wit;
