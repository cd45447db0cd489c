//! The commands, one a file, and what several of them use.

mod bench;
mod card;
mod check;
mod demo;
mod healthcheck;
mod inspect;
mod output;
mod predict;
mod replay;
mod serve;

use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use clap::CommandFactory;
use http::Method;
use listenfd::ListenFd;
use sac_owner::path_line;
use sac_owner::settings::Patterns;
use sac_serving::{Config, Listener, SacService, Source};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tracing::info;

use crate::args::file::Invocation;
use crate::args::listen::Listen;
use crate::args::pattern::PatternArgs;
use crate::args::{Cli, Command, ConfigCommand, InvalidUse};
use crate::client::Client;
use crate::logging::LogFormat;
use crate::platform::unix_listener;
use crate::target::Endpoint;

/// Runs a command to its end. `sockets` are those that systemd passes.
pub fn run(invocation: &Invocation, sockets: ListenFd) -> Result<()> {
    let cli = &invocation.cli;
    match &cli.command {
        Command::Serve(args) => serve::serve(args, cli.config(), sockets, matches!(cli.log_format, LogFormat::Text)),
        Command::Inspect(args) => inspect::inspect(args, cli.config()),
        Command::Card(args) => card::run(args, cli.config()),
        Command::Convert(args) => inspect::convert(args, cli.config()),
        Command::Predict(args) => predict::run(args, cli.config()),
        Command::Bench(args) => bench::run(args, cli.config()),
        Command::Replay(args) => replay::run(args, cli.config()),
        Command::Demo(args) => demo::run(args, cli.config()),
        Command::Healthcheck(args) => healthcheck::run(args),
        Command::Config(ConfigCommand::Check { json, serve }) => {
            check::run(serve, cli.config(), &invocation.settings, *json)
        }
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
            found.ok_or_else(|| InvalidUse(anyhow!("there is no command {name}")))?
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

/// Returns the checkpoint at a path: the file, or the newest candidate of the folder, which a server with the same settings tries
/// first. Fails if there is none, before anything is compiled for it.
pub fn checkpoint(path: &Path, names: &PatternArgs) -> Result<PathBuf> {
    match path.metadata() {
        Ok(found) if found.is_dir() => newest(path, names.patterns()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!("{}: there is no such file", path.display()),
        // The command itself says why other files cannot be read.
        _ => Ok(path.to_owned()),
    }
}

fn newest(folder: &Path, patterns: Patterns) -> Result<PathBuf> {
    let mut source = Source::new(None, Some(folder), None);
    source.patterns = patterns;
    let candidates = source.candidates().with_context(|| format!("{} cannot be read", folder.display()))?;
    let Some(newest) = candidates.first() else {
        let (folder, patterns) = (folder.display(), source.patterns);
        bail!(
            "{folder} has no checkpoint named {patterns}: give a file, or select other names by --pattern (SAC_PATTERN)"
        )
    };
    info!("the newest checkpoint is {}", path_line(&newest.state.path));
    Ok(newest.state.path.clone())
}

/// Binds the first address that is free, and returns it with its port; or a Unix socket, with its absolute path.
pub async fn listen(address: &Listen) -> Result<(Listener, Listen)> {
    let failed = || format!("cannot listen on {address}");
    if let Listen::Unix(path) = address {
        let listener = unix_listener(path).await.with_context(failed)?;
        return Ok((listener, Listen::Unix(absolute(path)?)));
    }
    let error = match TcpListener::bind(&*address.addresses()?).await {
        Ok(listener) => {
            let bound = listener.local_addr()?.into();
            return Ok((listener.into(), bound));
        }
        Err(error) => error,
    };
    if error.kind() == io::ErrorKind::AddrInUse {
        let user =
            if is_served(address).await { "another sac-serving answers there" } else { "another program has it" };
        bail!(
            "cannot listen on {address}: {user}. Give another by --port (SAC_PORT) or --listen (SAC_LISTEN); port 0 selects a free one"
        );
    }
    Err(error).with_context(failed)
}

/// Returns `true` if a server of this program answers at an address, as far as one without TLS can be asked.
async fn is_served(address: &Listen) -> bool {
    let health = async {
        let mut client = Client::connect(&Endpoint::near(address)?).await?;
        client.send(Method::GET, "/sac/health", Bytes::new()).await
    };
    let asked = timeout(Duration::from_secs(1), health).await;
    let Ok(Ok((_, body))) = asked else { return false };
    serde_json::from_slice::<Value>(&body).is_ok_and(|health| health["model_loaded"].is_boolean())
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
