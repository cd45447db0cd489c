//! Serves a Soft Actor-Critic policy from a WebAssembly component. A checkpoint that is written serves the next
//! request.
//!
//! [`SacService`] is a `tower::Service` that a server mounts for the paths `/sac/…`; [`serve`] is a server around it, with
//! the pages and metrics of a [`Site`].
//!
//! ```no_run
//! # async fn run() -> anyhow::Result<()> {
//! use sac_serving::{Config, Edge, SacService, Source};
//!
//! let source = Source::new(None, Some("checkpoints".as_ref()), None);
//! let service = SacService::new(Config { source, ..Config::default() })?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
//! sac_serving::serve(listener, service, Edge::default(), std::future::pending()).await;
//! # Ok(())
//! # }
//! ```

mod allowance;
mod artefact;
mod bindings;
mod body;
mod config;
mod edge;
mod engine;
mod failure;
mod generation;
mod history;
mod holder;
mod inspector;
mod instance;
mod live;
mod metrics;
mod origin;
mod pages;
mod pool;
mod sandbox;
mod server;
mod service;
mod site;
mod status;
mod tls;
mod tokens;
mod trace;

pub use artefact::default_cache_dir;
pub use config::{Activation, Config, OnBadCheckpoint, SandboxLimits};
pub use edge::Edge;
pub use inspector::{Inspection, Inspector, Layer};
pub use sac_checkpoint::{Identity, Limits, Source};
pub use server::serve;
pub use service::SacService;
pub use site::{Act, Extension, Site};
pub use tls::Tls;
pub use tokens::Tokens;
