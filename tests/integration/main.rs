//! The real component, in the real host and composed for Spin, over real sockets.

mod concurrency;
mod contract;
mod edge;
mod embedding;
mod failure;
mod fleet;
mod formats;
mod freshness;
mod golden;
mod limits;
mod openapi;
mod original;
mod sandbox;
mod secrets;
mod site;
mod spin;
