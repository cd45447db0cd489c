//! The command `bench`: measures how fast a server answers, or a server of a checkpoint file would.

mod load;
mod plot;
mod report;

use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use http::Method;
use sac_serving::{Config, HttpConfig, SacService, Source};
use tokio::net::TcpListener;

use crate::args::LoadArgs;
use crate::args::limits::descriptors;
use crate::client::Client;
use crate::commands::on_runtime;
use crate::target::{ClientArgs, Endpoint, Target};
use load::{Load, Workload};
use report::Report;

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// A server (http://HOST:PORT, or https), or a checkpoint file, which is served on a free port meanwhile
    #[arg(value_name = "URL|FILE")]
    pub target: Target,

    /// The number of connections. Each has one request in flight at a time
    #[arg(short, long, default_value = "1", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: u16,

    /// The duration of the measurement
    #[arg(short, long, value_parser = humantime::parse_duration, default_value = "5s", value_name = "TIME")]
    pub duration: Duration,

    /// The duration of the warm-up before it
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1s", value_name = "TIME")]
    pub warmup: Duration,

    /// Send batches of this many states
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,

    /// Send this many requests a second over all connections, on a schedule that does not wait for responses. Latency then
    /// counts from the scheduled time. Without this flag, each connection sends its next request after each response
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,

    /// Print JSON, with times in seconds
    #[arg(long)]
    pub json: bool,

    /// Write a picture of the latencies
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    #[command(flatten)]
    pub client: ClientArgs,

    #[command(flatten)]
    pub load: LoadArgs,
}

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
    // A server would wait for the file to appear.
    ensure!(file.is_file(), "{}: there is no such file", file.display());
    let config = args.load.config(Source::new(Some(file), None, None), defaults);
    let connections = usize::from(args.connections);
    let config = Config { max_in_flight: config.max_in_flight.max(connections), ..config };
    let service = tokio::task::spawn_blocking(|| SacService::new(config)).await??;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::local(&listener)?;
    let defaults = HttpConfig::default();
    let http = HttpConfig { max_connections: defaults.max_connections.max(connections), ..defaults };
    tokio::spawn(sac_serving::serve(listener, service, http, pending()));
    Ok(endpoint)
}
