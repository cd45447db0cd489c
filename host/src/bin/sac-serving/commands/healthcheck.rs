//! The command `healthcheck`: asks a server if it is well, for images without a shell.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::timeout;

use crate::args::{HealthcheckArgs, InvalidUse};
use crate::client::{Client, RESPONSE_TIMEOUT};
use crate::commands::on_runtime;
use crate::target::{Address, Endpoint};

/// Health may wait `--reload-wait` for files that load. The first request needs no files.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

pub fn run(args: &HealthcheckArgs) -> Result<()> {
    let endpoint = endpoint(args)?;
    let asked = on_runtime(1, async {
        let (status, body) = get(&endpoint, if args.ready { "/v2/health/ready" } else { "/healthz" }).await?;
        // The answer gives no reason and does not say if the policy is stale, but health does. A root may have no default policy.
        let shown = match timeout(STATUS_TIMEOUT, get(&endpoint, "/sac/health")).await {
            Ok(Ok((StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE, health))) => health,
            _ => body,
        };
        Ok((status, shown))
    });
    let (status, body) = asked?;
    let body = String::from_utf8_lossy(&body);
    ensure!(status == StatusCode::OK, "{} is not well: {status}, {body}", endpoint.address);
    Ok(writeln!(std::io::stdout().lock(), "{body}")?)
}

/// Returns the server of the argument, or else the one that has the same variables.
fn endpoint(args: &HealthcheckArgs) -> Result<Endpoint> {
    if let Some(target) = &args.target {
        return args.client.endpoint(&target.server().map_err(InvalidUse)?);
    }
    let listen = args.listen.with_port(args.port).map_err(InvalidUse)?;
    let address = Address::of(&listen, args.tls_cert.is_some());
    match &args.tls_cert {
        Some(certificate) if args.client.ca_cert.is_none() => args.client.own_endpoint(&address, certificate),
        _ => args.client.endpoint(&address),
    }
}

/// Asks over a connection of its own: a server that stops closes it with each response.
async fn get(endpoint: &Endpoint, path: &str) -> Result<(StatusCode, Bytes)> {
    let mut client = Client::connect(endpoint).await?;
    let answer = timeout(RESPONSE_TIMEOUT, client.send(Method::GET, path, Bytes::new())).await;
    answer.with_context(|| format!("{} does not answer", endpoint.address))?
}
