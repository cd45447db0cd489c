//! Whatever bytes come, the answer fits the contract. Cases are drawn from a seed, so that every run draws the same ones.
//! `SAC_FUZZ_SEED=2 SAC_FUZZ_SCALE=100` draws a hundred times as many others, and `SAC_FUZZ_CASE=17` that one alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod checkpoint;
mod contract;
mod http;
mod memory;
mod mutation;
mod request;
mod wit;
