//! The real component, in the real host and composed for Spin, over real sockets.

mod concurrency;
mod contract;
mod embedding;
mod failure;
mod formats;
mod freshness;
mod golden;
mod original;
mod sandbox;
mod spin;
