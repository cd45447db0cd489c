//! The command `healthcheck`: asks a server if it is well, for images without a shell.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::timeout;

use crate::args::HealthcheckArgs;
use crate::client::{Client, RESPONSE_TIMEOUT};
use crate::commands::on_runtime;
use crate::target::Target;

pub fn run(args: &HealthcheckArgs) -> Result<()> {
    let path = if args.ready { "/sac/health" } else { "/healthz" };
    let address = match &args.target {
        Some(target) => target.server()?,
        None => args.listen.with_port(args.port).to_string().parse::<Target>()?.server()?,
    };
    let answer = on_runtime(1, async {
        let mut client = Client::connect(&args.client.endpoint(&address)?).await?;
        timeout(RESPONSE_TIMEOUT, client.send(Method::GET, path, Bytes::new())).await?
    });
    let (status, body) = answer.with_context(|| format!("{address} is not well"))?;
    let body = String::from_utf8_lossy(&body);
    ensure!(status == StatusCode::OK, "{address} is not well: {status}, {body}");
    Ok(writeln!(std::io::stdout().lock(), "{body}")?)
}
