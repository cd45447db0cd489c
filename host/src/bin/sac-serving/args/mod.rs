//! The command line: commands, flags and variables.

pub mod bench;
mod decisions;
pub mod file;
pub mod limits;
pub mod listen;
pub mod load;
pub mod pattern;
pub mod predict;
pub mod replay;
pub mod root;
pub mod serve;
mod shadow;
pub mod unknown;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use sac_owner::settings::is_blank;
use sac_serving::Config;
use thiserror::Error;

use crate::args::bench::BenchArgs;
use crate::args::listen::Listen;
use crate::args::load::LoadArgs;
use crate::args::pattern::PatternArgs;
use crate::args::predict::PredictArgs;
use crate::args::replay::ReplayArgs;
use crate::args::serve::ServeArgs;
use crate::logging::LogFormat;
use crate::target::{ClientArgs, Target};

const LONG_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\ncomponent sha256 ", env!("SAC_ACTOR_SHA256"));

const EXIT_CODES: &str = "Exit codes: 0, success; 1, failure: a checkpoint is refused, a server does not start or cannot be \
    reached, or a response is an error; 2, a flag, a variable or the configuration file is invalid or names an \
    invalid file. `config check` refuses the same; 141, the reader of stdout is gone.";

/// Serves a Soft Actor-Critic policy from a WebAssembly component. A new checkpoint answers the next request
#[derive(Debug, Parser)]
#[command(version, long_version = LONG_VERSION, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// The format of log lines on stderr. RUST_LOG sets their level
    #[arg(long, global = true, env = "SAC_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// Keep the compiled component in this folder [default: sac-serving in the user's cache folder]
    #[arg(long, global = true, env = "SAC_CACHE_DIR", value_name = "FOLDER")]
    pub cache_dir: Option<PathBuf>,
}

impl Cli {
    /// Returns the configuration that every command starts from.
    pub fn config(&self) -> Config {
        let defaults = Config::default();
        Config { cache_dir: self.cache_dir.clone().or(defaults.cache_dir), ..Config::default() }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the newest checkpoint of a folder, or one file
    Serve(Box<ServeArgs>),
    /// Describe a checkpoint, or say why the server would refuse it
    Inspect(InspectArgs),
    /// Write a card of the facts that a checkpoint says, and null for each that it lacks, to be completed and kept beside it
    Card(CardArgs),
    /// Write the policy of a checkpoint as an ONNX file with the outputs mean, log_std and action
    Convert(ConvertArgs),
    /// Print the action that a server or a checkpoint computes for a state
    Predict(PredictArgs),
    /// Measure how fast a server answers, or a server of a checkpoint would
    Bench(BenchArgs),
    /// Compute the decisions of a log again from their checkpoints, and report those that differ
    Replay(ReplayArgs),
    /// Show a pendulum that a policy drives, and replace the policy by better ones
    Demo(DemoArgs),
    /// Ask a server if it is well. The exit code says so
    Healthcheck(HealthcheckArgs),
    /// Inspect the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print completions for a shell
    Completions { shell: Shell },
    /// Print the manual page of this program, or of one of its commands
    Man { command: Option<String> },
}

impl Command {
    /// Returns `true` for a command that serves until it is stopped.
    pub fn serves(&self) -> bool {
        matches!(self, Command::Serve(_) | Command::Demo(_))
    }
}

/// The commands below `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the settings that `serve` would have from these flags, the variables and the file, and print each of them
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        serve: Box<ServeArgs>,
    },
}

/// The arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The checkpoint file, or a folder, of which the newest is taken
    pub file: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub names: PatternArgs,

    #[command(flatten)]
    pub load: LoadArgs,
}

/// The arguments of `card`.
#[derive(Debug, Args)]
pub struct CardArgs {
    /// The checkpoint file, or a folder, of which the newest is taken
    pub file: PathBuf,

    /// The file to write, such as FILE.policy.json. `-` is stdout [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Replace an existing file. What the present card of the checkpoint says is kept
    #[arg(long, requires = "output")]
    pub force: bool,

    #[command(flatten)]
    pub names: PatternArgs,

    #[command(flatten)]
    pub load: LoadArgs,
}

/// The arguments of `convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The checkpoint file, or a folder, of which the newest is taken
    pub file: PathBuf,

    /// The file to write. `-` is stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Replace an existing file
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    pub names: PatternArgs,

    #[command(flatten)]
    pub load: LoadArgs,
}

/// The arguments of `healthcheck`.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// The server: HOST:PORT, a URL, or unix:PATH [default: the address that a server with the same variables listens on]
    #[arg(value_name = "URL")]
    pub target: Option<Target>,

    /// The address that the server listens on
    #[arg(long, env = "SAC_LISTEN", default_value = Listen::DEFAULT, value_name = Listen::FORMS)]
    pub listen: Listen,

    /// The port that the server listens on
    #[arg(long, env = "SAC_PORT", value_parser = values::whole::<u16, 0>, value_name = "PORT")]
    pub port: Option<u16>,

    /// The certificate that the server serves HTTPS with. It is trusted if no URL is given
    #[arg(long, env = "SAC_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Fail also while the server is not ready to predict, as without a model. Otherwise it is enough that it answers, and the
    /// output names its status: ok, stale (a newer checkpoint is refused) or no_model
    #[arg(long)]
    pub ready: bool,

    #[command(flatten)]
    pub client: ClientArgs,
}

/// The arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The address to listen on. Port 0 selects a free port
    #[arg(long, env = "SAC_LISTEN", default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub listen: Listen,

    /// Listen on this port of the address
    #[arg(long, env = "SAC_PORT", value_parser = values::whole::<u16, 0>, value_name = "PORT")]
    pub port: Option<u16>,

    /// Open the page in the browser
    #[arg(long)]
    pub open: bool,

    /// Replace the policy by the trained one after this time instead of on Enter
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub swap_after: Option<Duration>,
}

/// An error in what the user gave the program. It ends with 2, as an error that clap finds does.
#[derive(Debug, Error)]
#[error("{0:#}")]
pub struct InvalidUse(pub anyhow::Error);

/// The prefixes of the variables of this program.
const OWN_PREFIXES: [&str; 2] = ["SAC_", "STAT_PAIR_RL_"];

/// Removes blank variables of this program, which count as unset. Must be the first call of `main`.
pub fn forget_blank_variables() {
    for (name, value) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)));
        if is_ours && is_blank(&value) {
            // SAFETY: `main` calls this first, so no other thread reads the environment.
            unsafe { std::env::remove_var(name) };
        }
    }
}

#[cfg(test)]
mod tests;
