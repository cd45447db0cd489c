//! The commands, one a file, and what several of them use.

mod bench;
mod card;
mod demo;
mod inspect;
mod output;
mod predict;
mod serve;

use std::future::Future;
use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::CommandFactory;
use sac_serving::{Config, SacService};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::file::Invocation;
use crate::args::{Cli, Command, ConfigCommand};

/// Runs a command to its end.
pub fn run(invocation: &Invocation) -> Result<()> {
    let cli = &invocation.cli;
    match &cli.command {
        Command::Serve(args) => serve::serve(args, cli.config()),
        Command::Inspect(args) => inspect::inspect(args, cli.config()),
        Command::Card(args) => card::run(args, cli.config()),
        Command::Convert(args) => inspect::convert(args, cli.config()),
        Command::Predict(args) => predict::run(args, cli.config()),
        Command::Bench(args) => bench::run(args, cli.config()),
        Command::Demo(args) => demo::run(args, cli.config()),
        Command::Config(ConfigCommand::Check(args)) => serve::check(args, cli.config(), &invocation.settings),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), NAME, &mut script);
            Ok(io::stdout().write_all(&script)?)
        }
        Command::Man { command } => man(command.as_deref()),
    }
}

const NAME: &str = "sac-serving";

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

/// Makes a service, or returns `None` if `shutdown` resolves first. Compiling the component takes seconds, so it runs off the
/// runtime's threads.
pub async fn build(config: Config, shutdown: impl Future<Output = ()>) -> Result<Option<SacService>> {
    tokio::select! {
        service = tokio::task::spawn_blocking(|| SacService::new(config)) => Ok(Some(service??)),
        () = shutdown => Ok(None),
    }
}

/// Runs a future on a new runtime. Does not wait for other tasks, such as a benchmark whose client is gone.
pub fn on_runtime<T>(workers: usize, future: impl Future<Output = Result<T>>) -> Result<T> {
    // A look at files may hold up one thread for a moment. Another one must be left.
    let workers = workers.max(2);
    let runtime: Runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let outcome = runtime.block_on(future);
    runtime.shutdown_background();
    outcome
}

/// Returns a future that resolves on SIGTERM, on SIGHUP or on Ctrl-C. From this call on, these signals do not end the process.
pub fn shutdown_signal() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
