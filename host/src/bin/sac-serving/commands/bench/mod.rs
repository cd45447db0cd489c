//! `bench`: how fast a server answers, or how fast one would with a checkpoint.

mod load;
mod plot;
mod report;

use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use http::Method;
use sac_serving::{Config, Edge, SacService, Source};
use tokio::net::TcpListener;

use crate::args::Reading;
use crate::args::guards::descriptors;
use crate::client::Client;
use crate::commands::on_runtime;
use crate::target::{Manner, Server, Target};
use load::{Load, Question};
use report::Report;

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// A server (http://HOST:PORT, or https), or a checkpoint file, which is served on a free port for as long as it takes
    #[arg(value_name = "URL|FILE")]
    pub target: Target,

    /// How many connections ask, each one request at a time
    #[arg(short, long, default_value = "1", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: u16,

    /// How long to measure
    #[arg(short, long, value_parser = humantime::parse_duration, default_value = "5s", value_name = "TIME")]
    pub duration: Duration,

    /// How long to ask before that, without measuring
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1s", value_name = "TIME")]
    pub warmup: Duration,

    /// Ask for batches of this many states
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,

    /// Ask this often a second, over all connections, whether answers come or not: latency then counts from the moment
    /// that was planned. Without it each connection asks as soon as it has its answer
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,

    /// Print JSON, times in seconds
    #[arg(long)]
    pub json: bool,

    /// Write a picture of the latencies
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    #[command(flatten)]
    pub manner: Manner,

    #[command(flatten)]
    pub reading: Reading,
}

/// The error, once the report is printed, is that there were errors among the answers.
pub fn run(args: &BenchArgs, defaults: Config) -> Result<()> {
    // For as many connections, here and in a server of its own.
    descriptors();
    on_runtime(defaults.workers, async {
        let server = match &args.target {
            Target::Server(address) => args.manner.of(address)?,
            Target::File(file) => serve(args, file, defaults).await?,
        };
        let mut client = Client::connect(&server).await?;
        let info = client.told(Method::GET, "/sac/model/info", "".into()).await;
        let info = info.with_context(|| format!("{} serves nothing to measure", server.address))?;
        let state_dim = info["state_dim"].as_u64().context("the server does not tell its state_dim")?;
        // Its connection would be one too many.
        drop(client);
        let question = Question::new(usize::try_from(state_dim)?, args.batch);
        let outcome = Load::new(args, server).run(question).await?;
        let within = humantime::format_duration(args.duration);
        ensure!(!outcome.latencies.is_empty(), "nothing to measure came within {within}{}", outcome.told_errors());
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

/// Until the runtime ends.
async fn serve(args: &BenchArgs, file: &Path, defaults: Config) -> Result<Server> {
    // The server would wait for it to appear.
    ensure!(file.is_file(), "{}: there is no such file", file.display());
    let config = args.reading.config(Source::new(Some(file), None, None), defaults);
    let connections = usize::from(args.connections);
    let config = Config { max_in_flight: config.max_in_flight.max(connections), ..config };
    let service = tokio::task::spawn_blocking(|| SacService::new(config)).await??;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = Server::local(&listener)?;
    let edge = Edge { max_connections: Edge::default().max_connections.max(connections), ..Edge::default() };
    tokio::spawn(sac_serving::serve(listener, service, edge, pending()));
    Ok(server)
}
