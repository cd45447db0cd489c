//! HTTP: connections, routes, bodies, errors and pages. It asks `swap` for the generation that answers, and never touches a
//! checkpoint or a WebAssembly store.

pub(crate) mod base_path;
mod body;
pub(crate) mod config;
mod connection;
pub(crate) mod cors;
mod encoding;
mod error;
mod exchange;
mod form;
mod found;
mod health;
mod memory;
mod openapi;
mod origin;
mod paced;
mod page;
mod pages;
mod peer;
mod places;
mod response;
pub(crate) mod route;
pub(crate) mod router;
mod selection;
pub(crate) mod server;
pub(crate) mod service;
mod shadowed;
pub(crate) mod socket;
#[cfg(unix)]
mod socket_file;
mod stage;
mod status;
mod stream;
pub(crate) mod tls;
