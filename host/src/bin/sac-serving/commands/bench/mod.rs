//! The command `bench`: measures how fast a server answers, or a server of a checkpoint file would.

mod load;
mod plot;
mod report;

use std::future::pending;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use http::Method;
use sac_serving::{Config, HttpConfig, SacService, Source};

use crate::args::bench::BenchArgs;
use crate::client::Client;
use crate::commands::{checkpoint, listen, on_runtime};
use crate::platform::descriptors;
use crate::target::{Endpoint, Target};
use load::{Load, Workload};
use report::Report;

/// Measures, and prints the report. Fails after that if a request failed.
pub fn run(args: &BenchArgs, defaults: Config) -> Result<()> {
    // The connections need descriptors here, and in the server if it runs in this process.
    descriptors();
    on_runtime(defaults.workers, async {
        let endpoint = match &args.target {
            Target::Server(address) => args.client.endpoint(address)?,
            Target::File(file) => serve(args, file, defaults).await?,
        };
        let mut client = Client::connect(&endpoint).await?;
        let info = client.json(Method::GET, "/sac/model/info", "".into()).await;
        let info = info.with_context(|| format!("{} serves nothing to measure", endpoint.address))?;
        let state_dim = info["state_dim"].as_u64().context("the server does not report its state_dim")?;
        // An idle connection would count against the server's limit.
        drop(client);
        let workload = Workload::new(usize::try_from(state_dim)?, args.batch);
        let outcome = Load::new(args, endpoint).run(workload).await?;
        let within = humantime::format_duration(args.duration);
        ensure!(!outcome.latencies.is_empty(), "there was no response within {within}{}", outcome.error_summary());
        let report = Report { args, outcome };
        report.print()?;
        if let Some(path) = &args.svg {
            let written = std::fs::write(path, plot::svg(&report));
            written.with_context(|| format!("{} cannot be written", path.display()))?;
        }
        let errors = report.outcome.errors.values().sum::<u64>();
        ensure!(errors == 0, "{errors} of {} requests failed", report.outcome.latencies.len() + errors);
        Ok(())
    })
}

/// Serves a file until the runtime ends.
async fn serve(args: &BenchArgs, file: &Path, defaults: Config) -> Result<Endpoint> {
    // A server would wait for the file to appear, and serve the next one of a folder.
    let file = checkpoint(file, &args.names)?;
    let config = args.load.config(Source::new(Some(&file), None, None), defaults);
    let connections = usize::from(args.connections);
    let config = Config { max_in_flight: config.max_in_flight.max(connections), ..config };
    let service = tokio::task::spawn_blocking(|| SacService::new(config)).await??;
    let (listener, address) = listen(&"127.0.0.1:0".parse()?).await?;
    let defaults = HttpConfig::default();
    let connections = defaults.max_connections.max(connections);
    let http = HttpConfig { max_connections: connections, max_connections_per_address: Some(connections), ..defaults };
    tokio::spawn(sac_serving::serve(listener, service, http, pending()));
    Ok(Endpoint::local(&address))
}
