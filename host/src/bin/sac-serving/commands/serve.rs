//! The commands `serve` and `config check`.

use std::io::{self, Write};
use std::pin::pin;

use anyhow::{Context, Result};
use sac_owner::path_line;
use sac_serving::{Config, DefaultPolicy};
use tokio::net::TcpListener;
use tracing::info;

use crate::args::file::Setting;
use crate::args::serve::ServeArgs;
use crate::commands::{build, on_runtime, shutdown_signal};

pub fn serve(args: &ServeArgs, defaults: Config) -> Result<()> {
    let config = args.config(defaults)?;
    on_runtime(config.workers, async {
        let mut shutdown = pin!(shutdown_signal()?);
        // Bound first, so that an address in use is reported before the component is compiled.
        let listener =
            TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
        let (served, http) = (served(&config), args.http_config(&config.tokens)?);
        let scheme = if http.tls.is_some() { "https" } else { "http" };
        let Some(service) = build(config, shutdown.as_mut()).await? else { return Ok(()) };
        info!("listening on {scheme}://{}", listener.local_addr()?);
        info!("serving {served}");
        sac_serving::serve(listener, service, http, shutdown).await;
        Ok(())
    })
}

/// Describes the checkpoints, for the log.
fn served(config: &Config) -> String {
    let source = || config.source.to_string();
    match &config.root {
        None => source(),
        Some(root) => {
            let folders = path_line(&root.folder);
            match root.default {
                DefaultPolicy::Source => format!("{}, and the policies in {folders}", source()),
                _ => format!("the policies in {folders}"),
            }
        }
    }
}

/// Reads everything that `serve` reads before it listens, and prints each setting.
pub fn check(args: &ServeArgs, defaults: Config, settings: &[Setting]) -> Result<()> {
    let config = args.config(defaults)?;
    args.http_config(&config.tokens)?;
    let mut out = io::stdout().lock();
    for Setting { name, value, origin } in settings {
        let value = value.as_deref().unwrap_or("–");
        writeln!(out, "{name:<22}{value:<32} {origin}")?;
    }
    Ok(())
}
