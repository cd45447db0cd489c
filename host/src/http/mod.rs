//! HTTP: connections, routes, bodies, errors and pages. It asks `swap` for the generation that answers, and never
//! touches a file or a WebAssembly store.

pub(crate) mod body;
pub(crate) mod config;
pub(crate) mod error;
pub(crate) mod origin;
pub(crate) mod pages;
pub(crate) mod router;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod status;
pub(crate) mod tls;
