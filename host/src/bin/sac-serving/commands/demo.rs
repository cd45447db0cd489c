//! Three policies of one training run, one after the other: what a hot swap looks like.

use std::io::Write;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use sac_serving::{Config, Edge, Extension, Site, Source};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tracing::warn;

use crate::args::{DemoArgs, is_local};
use crate::client::Client;
use crate::commands::{build, on_runtime, shutdown_signal};
use crate::target::Server;

/// After 500, 2,000 and 8,000 steps of training on Pendulum-v1: a state is cos θ, sin θ and the angular velocity, an
/// action the torque as a part of the largest.
const POLICIES: [(&str, &[u8]); 3] = [
    (EARLY, include_bytes!("../../../../demo/pendulum_00500.onnx")),
    ("middle", include_bytes!("../../../../demo/pendulum_02000.onnx")),
    (TRAINED, include_bytes!("../../../../demo/pendulum_08000.onnx")),
];
const EARLY: &str = "early";
const TRAINED: &str = "trained";
const STATE: &str = r#"{"state": [0.0, 1.0, 0.5]}"#;

pub fn run(args: &DemoArgs, config: Config) -> Result<()> {
    ensure!(is_local(args.listen), "{} can be reached from other machines, and the demo has no token", args.listen);
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let source = Source::new(None, Some(folder.path()), None);
    // However slow the machine is, the next request shows the new policy.
    let config = Config { source, reload_wait: Duration::from_secs(60), ..config };
    on_runtime(config.workers, async {
        let mut shutdown = pin!(shutdown_signal()?);
        let listener =
            TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
        let server = Server::local(&listener)?;
        publish(folder.path(), EARLY)?;
        let Some(service) = build(config, shutdown.as_mut()).await? else { return Ok(()) };
        let pendulum = include_str!("../../../../pages/pendulum.js");
        let dropped_into = folder.path().to_owned();
        let act = Box::new(move |name: &str| publish(&dropped_into, name));
        let site = Site::new(service).with_extension(Extension { script: pendulum, act });
        let edge = Edge { refuse_other_sites: true, ..Edge::default() };
        tokio::select! {
            () = sac_serving::serve(listener, site, edge, shutdown) => Ok(()),
            outcome = show(args, &server, folder.path()) => outcome,
        }
    })
}

/// Never returns but with an error: the server goes on until it is stopped.
async fn show(args: &DemoArgs, server: &Server, folder: &Path) -> Result<()> {
    let address = &server.address;
    let mut out = std::io::stdout();
    writeln!(out, "\nA pendulum's policy after 500 steps of training is served from {}.\n", folder.display())?;
    writeln!(out, "  {address}/ shows the pendulum and what is served, and drops better policies in.\n")?;
    writeln!(out, "  curl -s {address}/sac/health")?;
    writeln!(out, "  curl -s {address}/sac/model/info")?;
    writeln!(out, "  curl -s {address}/sac/predict -d '{STATE}'\n")?;
    if args.open
        && let Err(error) = open::that_detached(format!("{address}/"))
    {
        warn!("no browser could be opened: {error}");
    }
    writeln!(out, "Before: {}", predict(server).await?)?;
    match args.swap_after {
        Some(time) => tokio::time::sleep(time).await,
        None => {
            writeln!(out, "\nPress Enter to drop the fully trained policy into the folder.")?;
            enter().await?;
        }
    }
    publish(folder, TRAINED)?;
    let after = predict(server).await?;
    writeln!(out, "After:  {after}")?;
    ensure!(after.to_string().contains("model_trained.onnx"), "the new policy was not served");
    writeln!(out, "\nThe next request was answered by the new file. The server goes on: Ctrl-C ends it.")?;
    std::future::pending().await
}

/// As a trainer should: under a temporary name first, so that no reader sees half a file. False where there is no such
/// policy.
fn publish(folder: &Path, name: &str) -> Result<bool> {
    let Some((_, bytes)) = POLICIES.into_iter().find(|(known, _)| *known == name) else { return Ok(false) };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(folder.join(format!("model_{name}.onnx")))?;
    Ok(true)
}

async fn predict(server: &Server) -> Result<Value> {
    let mut client = Client::connect(server).await?;
    client.told(Method::POST, "/sac/predict", STATE.into()).await
}

/// Waits for a line; a closed input never gives one.
async fn enter() -> Result<()> {
    let mut line = String::new();
    match BufReader::new(tokio::io::stdin()).read_line(&mut line).await? {
        0 => std::future::pending().await,
        _ => Ok(()),
    }
}
