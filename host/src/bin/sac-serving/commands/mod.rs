//! One command a file; this one runs them, and holds what they share.

pub mod bench;
mod demo;
mod inspect;
pub mod predict;

use std::future::Future;
use std::io::{self, Write};
use std::pin::pin;

use anyhow::{Context, Result};
use clap::CommandFactory;
use sac_serving::{Config, SacService};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::args::file::{Settings, Told};
use crate::args::{Cli, Command, ConfigCommand, ServeArgs};

/// Runs a command to its end.
pub fn run(settings: &Settings) -> Result<()> {
    let cli = &settings.cli;
    match &cli.command {
        Command::Serve(args) => serve(args, args.config(cli.config())?),
        Command::Inspect(args) => inspect::inspect(args, cli.config()),
        Command::Convert(args) => inspect::convert(args, cli.config()),
        Command::Predict(args) => predict::run(args, cli.config()),
        Command::Bench(args) => bench::run(args, cli.config()),
        Command::Demo(args) => demo::run(args, cli.config()),
        Command::Config(ConfigCommand::Check(args)) => check(args, cli.config(), &settings.told),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), NAME, &mut script);
            Ok(io::stdout().write_all(&script)?)
        }
        Command::Man { command } => man(command.as_deref()),
    }
}

const NAME: &str = "sac-serving";

/// Reads all that `serve` would read before it listens.
fn check(args: &ServeArgs, defaults: Config, told: &[Told]) -> Result<()> {
    let config = args.config(defaults)?;
    args.edge(&config.tokens)?;
    let mut out = io::stdout().lock();
    for Told { name, value, by } in told {
        let value = value.as_deref().unwrap_or("–");
        writeln!(out, "{name:<22}{value:<32} {by}")?;
    }
    Ok(())
}

fn man(command: Option<&str>) -> Result<()> {
    let mut program = Cli::command();
    program.build();
    let page = match command {
        None => program,
        Some(name) => {
            let found = program.find_subcommand(name).cloned();
            found.with_context(|| format!("there is no command {name}"))?
        }
    };
    clap_mangen::Man::new(page).render(&mut io::stdout().lock())?;
    Ok(())
}

fn serve(args: &ServeArgs, config: Config) -> Result<()> {
    on_runtime(config.workers, async {
        let mut shutdown = pin!(shutdown_signal()?);
        // Bound first: an address that is taken is told before anything is compiled.
        let listener =
            TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
        let (source, edge) = (config.source.to_string(), args.edge(&config.tokens)?);
        let scheme = if edge.tls.is_some() { "https" } else { "http" };
        let Some(service) = build(config, shutdown.as_mut()).await? else { return Ok(()) };
        info!("listening on {scheme}://{}", listener.local_addr()?);
        info!("serving {source}");
        sac_serving::serve(listener, service, edge, shutdown).await;
        Ok(())
    })
}

/// Compiling the component takes seconds, and must hold up neither the runtime nor a shutdown, which gives none.
pub async fn build(config: Config, shutdown: impl Future<Output = ()>) -> Result<Option<SacService>> {
    tokio::select! {
        service = tokio::task::spawn_blocking(|| SacService::new(config)) => service?.map(Some),
        () = shutdown => Ok(None),
    }
}

/// Runs a future to its end and waits for nothing else, such as a benchmark that nobody waits for.
pub fn on_runtime<T>(workers: usize, future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime: Runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let outcome = runtime.block_on(future);
    runtime.shutdown_background();
    outcome
}

/// Resolves on SIGTERM or Ctrl-C; from this call on they no longer end the process.
pub fn shutdown_signal() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
