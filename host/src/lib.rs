//! Serves a Soft Actor-Critic policy from a WebAssembly component. A new checkpoint answers the next request.
//!
//! [`SacService`] is a `tower::Service` for the paths `/sac/…` that any server can mount. [`serve`] runs a server around
//! it, with the pages and metrics of a [`Router`]. [`Inspector`] looks at checkpoint files without serving them.
//!
//! ```no_run
//! # async fn run() -> anyhow::Result<()> {
//! use sac_serving::{Config, HttpConfig, SacService, Source};
//!
//! let source = Source::new(None, Some("checkpoints".as_ref()), None);
//! let service = SacService::new(Config { source, ..Config::default() })?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
//! sac_serving::serve(listener, service, HttpConfig::default(), std::future::pending()).await;
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs)]

mod config;
mod decisions;
mod http;
mod inspector;
mod observe;
mod platform;
mod policies;
mod sandbox;
mod shadows;
mod swap;
mod watch;
mod work;

pub use config::{Config, DecisionLogConfig, RootConfig, SandboxLimits, ShadowConfig};
pub use decisions::replay::{Replay, ReplayError, ReplayReport, Replayed};
pub use http::base_path::{BasePath, InvalidBasePath};
pub use http::config::HttpConfig;
pub use http::cors::{InvalidOrigin, Origin, Origins};
pub use http::router::Router;
pub use http::server::{serve, serve_with};
pub use http::service::SacService;
pub use http::socket::Listener;
pub use http::tls::Tls;
pub use inspector::{Fact, InspectError, Inspection, Inspector, Layer};
pub use sac_owner::settings::{ActionBounds, Activation, DefaultPolicy, ModelName, OnBadCheckpoint, Patterns};
pub use sac_owner::{Identity, Limits, Source};
pub use sandbox::factory::SetupError;
pub use watch::tokens::Tokens;
