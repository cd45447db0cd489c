//! Mounts the /sac/* routes in an axum server, beside a route of that server:
//!
//!     cargo run --release --example embed -- checkpoints
//!     curl -s http://127.0.0.1:8080/hello
//!     curl -s http://127.0.0.1:8080/sac/health
//!
//! /hello answers with and without a model.

use std::path::PathBuf;

use axum::Router;
use axum::routing::get;
use sac_serving::{Config, SacService, Source};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt::init();
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let source = Source::new(None, folder.as_deref(), None);
    let sac = SacService::new(Config { source, ..Config::default() })?;

    let app = Router::new().route("/hello", get(async || "hello\n")).route_service("/sac/{*route}", sac);
    axum::serve(TcpListener::bind("127.0.0.1:8080").await?, app).await?;
    Ok(())
}
