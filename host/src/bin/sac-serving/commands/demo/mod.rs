//! The command `demo`: serves three policies of one training run, one after the other, from a temporary folder.

mod page;

use std::io::Write;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use http::Method;
use sac_serving::{Config, HttpConfig, Router, Source};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tracing::{debug, warn};

use crate::args::listen::Listen;
use crate::args::{DemoArgs, InvalidUse};
use crate::client::Client;
use crate::commands::{build, listen, on_runtime};
use crate::platform::shutdown_signal;
use crate::target::Endpoint;
use page::DemoPage;

/// The policies after 500, 2,000 and 8,000 steps of training on Pendulum-v1. A state is cos θ, sin θ and the angular
/// velocity. An action is the torque as a fraction of the largest torque.
const POLICIES: [(&str, &[u8]); 3] = [
    (EARLY, include_bytes!("../../../../../demo/pendulum_00500.onnx")),
    ("middle", include_bytes!("../../../../../demo/pendulum_02000.onnx")),
    (TRAINED, include_bytes!("../../../../../demo/pendulum_08000.onnx")),
];
const EARLY: &str = "early";
const TRAINED: &str = "trained";
const STATE: &str = r#"{"state": [0.0, 1.0, 0.5]}"#;

pub fn run(args: &DemoArgs, config: Config) -> Result<()> {
    let refused = |reason: String| Err(InvalidUse(anyhow!(reason)).into());
    let at = args.listen.with_port(args.port).map_err(InvalidUse)?;
    if matches!(at, Listen::Unix(_)) {
        let expected = "is no address that a browser opens, and the demo is a page: expected HOST:PORT";
        return refused(format!("{at} {expected}"));
    }
    if !at.is_local()? {
        return refused(format!("{at} can be reached from other machines, and the demo has no token"));
    }
    let folder = tempfile::tempdir().context("there is no temporary folder")?;
    let source = Source::new(None, Some(folder.path()), None);
    // Long enough that the next request shows the new policy on any machine.
    let config = Config { source, allow_rollback: true, reload_wait: Duration::from_secs(60), ..config };
    on_runtime(config.workers, async {
        let mut shutdown = pin!(shutdown_signal()?);
        let (listener, address) = listen(&at).await?;
        let endpoint = Endpoint::local(&address);
        publish(folder.path(), EARLY)?;
        let Some(service) = build(config, shutdown.as_mut()).await? else { return Ok(()) };
        let page = Arc::new(DemoPage { router: Router::new(service.clone()), folder: folder.path().to_owned() });
        let answer = move |request| {
            let page = page.clone();
            async move { page.respond(request).await }
        };
        let http = HttpConfig { refuse_other_sites: true, ..HttpConfig::default() };
        tokio::select! {
            () = sac_serving::serve_with(listener, service, answer, http, shutdown) => Ok(()),
            outcome = show(args, &endpoint, folder.path()) => outcome,
        }
    })
}

/// Prints what to do, and what the server answers before and after a swap. Returns only on an error; otherwise the server
/// runs until it is stopped.
async fn show(args: &DemoArgs, endpoint: &Endpoint, folder: &Path) -> Result<()> {
    let address = &endpoint.address;
    let mut out = std::io::stdout();
    writeln!(out, "\nServing a pendulum's policy after 500 steps of training, from {}.\n", folder.display())?;
    writeln!(out, "  {address}/ shows the pendulum and the policy in service, and replaces it by better ones.\n")?;
    writeln!(out, "  curl -s {address}/sac/health")?;
    writeln!(out, "  curl -s {address}/sac/model/info")?;
    writeln!(out, "  curl -s {address}/sac/predict -d '{STATE}'\n")?;
    if args.open
        && let Err(error) = open::that_detached(format!("{address}/"))
    {
        warn!("no browser opens here: visit {address}/ yourself");
        debug!("{error}");
    }
    writeln!(out, "Before: {}", predict(endpoint).await?)?;
    match args.swap_after {
        Some(time) => tokio::time::sleep(time).await,
        None => {
            writeln!(out, "\nPress Enter to write the fully trained policy into the folder.")?;
            enter().await?;
        }
    }
    publish(folder, TRAINED)?;
    let after = predict(endpoint).await?;
    writeln!(out, "After:  {after}")?;
    ensure!(after.to_string().contains("model_trained.onnx"), "the new policy did not answer");
    writeln!(out, "\nThe new file answered the next request. The server runs until Ctrl-C.")?;
    std::future::pending().await
}

/// Writes a policy into the folder, first under a temporary name, so that no reader sees a part of the file. Returns `false`
/// if there is no policy of this name.
fn publish(folder: &Path, name: &str) -> Result<bool> {
    let Some((_, bytes)) = POLICIES.into_iter().find(|(known, _)| *known == name) else { return Ok(false) };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(folder.join(format!("model_{name}.onnx")))?;
    Ok(true)
}

async fn predict(endpoint: &Endpoint) -> Result<Value> {
    let mut client = Client::connect(endpoint).await?;
    client.json(Method::POST, "/sac/predict", STATE.into()).await
}

/// Waits for a line on stdin. If stdin is closed, waits forever.
async fn enter() -> Result<()> {
    let mut line = String::new();
    match BufReader::new(tokio::io::stdin()).read_line(&mut line).await? {
        0 => std::future::pending().await,
        _ => Ok(()),
    }
}
