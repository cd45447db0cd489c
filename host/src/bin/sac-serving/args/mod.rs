//! The command line: commands, flags and variables.

pub mod file;
pub mod limits;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use sac_owner::settings::{Activation, OnBadCheckpoint, defaults, is_blank, variables};
use sac_serving::{Config, HttpConfig, Source, Tokens};

use crate::args::limits::LimitArgs;
use crate::args::values::{Boolean, one_of};
use crate::commands::bench::BenchArgs;
use crate::commands::predict::PredictArgs;
use crate::logging::LogFormat;

const LONG_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\ncomponent sha256 ", env!("SAC_ACTOR_SHA256"));

const EXIT_CODES: &str = "Exit codes: 0, success; 1, failure: a checkpoint is refused, a server does not start or cannot be \
    reached, or a response is an error; 2, a flag, a variable or the configuration file is invalid.";

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

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the newest checkpoint of a folder, or one file
    Serve(Box<ServeArgs>),
    /// Describe a checkpoint, or say why the server would refuse it
    Inspect(InspectArgs),
    /// Write the policy of a checkpoint as an ONNX file with the outputs mean, log_std and action
    Convert(ConvertArgs),
    /// Print the action that a server or a checkpoint computes for a state
    Predict(PredictArgs),
    /// Measure how fast a server answers, or a server of a checkpoint would
    Bench(BenchArgs),
    /// Show a pendulum that a policy drives, and replace the policy by better ones
    Demo(DemoArgs),
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

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the settings that `serve` would have from these flags, the variables and the file, and print each of them
    Check(Box<ServeArgs>),
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Read settings from this TOML file. Its keys are the names of these flags; variables and flags outrank it
    #[arg(long, env = "SAC_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The address to listen on. Port 0 selects a free port, which the log names
    #[arg(long, env = "SAC_LISTEN", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,

    /// Serve this checkpoint file and no other, also while it is missing
    #[arg(long, env = variables::MODEL, value_name = "FILE")]
    pub model: Option<PathBuf>,

    /// Serve the newest model_*.{onnx,pt,pth,safetensors,zip} in this folder [default: cache/models/rl/stat_pair]
    #[arg(long, env = variables::DIR, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,

    /// Require this bearer token on every route but health. Prefer the variable or the file, because the process list shows
    /// flags
    #[arg(long, env = variables::API_TOKEN, hide_env_values = true, value_name = "TOKEN")]
    pub api_token: Option<String>,

    /// Read bearer tokens from this file, one a line. Any of them authorises. The file is read again when it changes
    #[arg(long, env = "SAC_API_TOKEN_FILE", value_name = "FILE")]
    pub api_token_file: Option<PathBuf>,

    /// Accept requests from other machines, from a proxy and from pages of other sites without a token
    #[arg(long, env = "SAC_NO_AUTH", value_parser = Boolean, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    pub no_auth: bool,

    /// Run the kernel, or tract's optimised graph. If false, tract runs the graph as written, which is slower
    #[arg(long, env = variables::JIT, value_parser = Boolean, action = clap::ArgAction::Set,
          default_value_t = defaults::JIT, value_name = "BOOL")]
    pub jit: bool,

    #[command(flatten)]
    pub load: LoadArgs,

    /// The number of requests that run at once, each on its own instance and thread [default: the number of cores]
    #[arg(long, env = "SAC_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub workers: Option<u16>,

    /// What a refused checkpoint does: `keep` keeps the policy in service, `fail` answers 500 until a checkpoint loads
    #[arg(long, env = variables::ON_BAD_CHECKPOINT, value_parser = one_of::<OnBadCheckpoint>(OnBadCheckpoint::NAMES),
          default_value_t = OnBadCheckpoint::default())]
    pub on_bad_checkpoint: OnBadCheckpoint,

    /// How long a request waits for a new checkpoint to load before the policy in service answers it
    #[arg(long, env = "SAC_RELOAD_WAIT", default_value_t = Config::default().reload_wait.into(), value_name = "TIME")]
    pub reload_wait: humantime::Duration,

    /// Answer a larger request body with 413
    #[arg(long, env = variables::MAX_BODY_BYTES, default_value_t = defaults::MAX_BODY_BYTES, value_name = "BYTES")]
    pub max_body_bytes: usize,

    /// The largest number of states in a batch
    #[arg(long, env = variables::MAX_BATCH, default_value_t = defaults::MAX_BATCH, value_name = "N")]
    pub max_batch: u32,

    #[command(flatten)]
    pub limits: LimitArgs,
}

/// The flags for loading checkpoints.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The activation of a network whose file does not name it [default: relu, reported as assumed]
    #[arg(long, env = variables::ACTIVATION, value_parser = one_of::<Activation>(Activation::NAMES), value_name = "NAME")]
    pub activation: Option<Activation>,

    /// Refuse a larger checkpoint without reading it
    #[arg(long, env = variables::MAX_CHECKPOINT_BYTES, default_value_t = defaults::MAX_CHECKPOINT_BYTES, value_name = "BYTES")]
    pub max_checkpoint_bytes: u64,
}

impl LoadArgs {
    /// Returns the configuration for the files of `source`.
    pub fn config(&self, mut source: Source, defaults: Config) -> Config {
        source.limits.max_bytes = self.max_checkpoint_bytes;
        Config { source, activation: self.activation, ..defaults }
    }
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The checkpoint file
    pub file: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub load: LoadArgs,
}

#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The checkpoint file
    pub file: PathBuf,

    /// The file to write. An existing file is replaced
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    #[command(flatten)]
    pub load: LoadArgs,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The address to listen on. Port 0 selects a free port
    #[arg(long, env = "SAC_LISTEN", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Open the page in the browser
    #[arg(long)]
    pub open: bool,

    /// Replace the policy by the trained one after this time instead of on Enter
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub swap_after: Option<Duration>,
}

/// Removes blank variables of this program, which count as unset. Must be the first call of `main`.
pub fn forget_blank_variables() {
    for (name, value) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| name.starts_with("SAC_") || name.starts_with("STAT_PAIR_RL_"));
        if is_ours && is_blank(&value) {
            // SAFETY: `main` calls this first, so no other thread reads the environment.
            unsafe { std::env::remove_var(name) };
        }
    }
}

/// Returns `true` if only this machine can reach the address.
pub fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl ServeArgs {
    /// Returns the configuration of the service. Reads the token file.
    pub fn config(&self, defaults: Config) -> Result<Config> {
        let home = std::env::home_dir();
        let source = Source::new(self.model.as_deref(), self.dir.as_deref(), home.as_deref());
        Ok(self.limits.config(Config {
            jit: self.jit,
            workers: self.workers.map_or(defaults.workers, usize::from),
            on_bad_checkpoint: self.on_bad_checkpoint,
            reload_wait: *self.reload_wait,
            max_body_bytes: self.max_body_bytes,
            max_batch: self.max_batch,
            tokens: self.tokens()?,
            ..self.load.config(source, defaults)
        }))
    }

    /// Returns the configuration of the server. Reads the certificate and the key, and raises the limit of open files.
    pub fn http_config(&self, tokens: &Tokens) -> Result<HttpConfig> {
        Ok(HttpConfig { refuse_other_sites: tokens.is_empty() && !self.no_auth, ..self.limits.http_config()? })
    }

    fn tokens(&self) -> Result<Tokens> {
        let given = self.api_token.iter().map(|token| token.trim().to_owned());
        let given = Tokens::new(given.filter(|token| !token.is_empty()));
        let tokens = match &self.api_token_file {
            Some(path) => given.with_file(path)?,
            None => given,
        };
        ensure!(
            is_local(self.listen) || self.no_auth || !tokens.is_empty(),
            "{} can be reached from other machines: set a token (SAC_API_TOKEN or --api-token-file) or --no-auth",
            self.listen
        );
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests;
