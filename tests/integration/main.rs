//! The real component over real sockets: in the host, and composed with the Spin gateway.

mod backends;
mod concurrency;
mod connections;
mod contract;
mod decisions;
mod embedding;
mod failure;
mod fleet;
mod formats;
mod freshness;
mod golden;
mod inference;
mod limits;
mod metrics;
mod neighbours;
mod openapi;
mod original;
mod policies;
mod rollback;
mod sandbox;
mod secrets;
mod shadow;
mod shutdown;
mod site;
mod spin;
