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

mod config;
mod http;
mod inspector;
mod observe;
mod sandbox;
mod swap;
mod watch;

pub use config::{Config, SandboxLimits};
pub use http::config::Edge;
pub use http::router::{Act, Extension, Site};
pub use http::server::serve;
pub use http::service::SacService;
pub use http::tls::Tls;
pub use inspector::{Inspection, Inspector, Layer};
pub use sac_owner::settings::{Activation, OnBadCheckpoint};
pub use sac_owner::{Identity, Limits, Source};
pub use sandbox::artefact::default_cache_dir;
pub use watch::tokens::Tokens;
