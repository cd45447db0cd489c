//! The flags of `serve`, and the configuration that they make.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use sac_owner::settings::{EXTENSIONS, ModelName, OnBadCheckpoint, Patterns, bytes, defaults, is_blank, variables};
use sac_owner::shell_word;
use sac_serving::{Config, HttpConfig, Source, Tokens};

use crate::args::decisions::DecisionArgs;
use crate::args::limits::LimitArgs;
use crate::args::listen::Listen;
use crate::args::load::LoadArgs;
use crate::args::pattern::PatternArgs;
use crate::args::root::RootArgs;
use crate::args::shadow::ShadowArgs;
use crate::args::values::{Boolean, one_of, whole};

/// The arguments of `serve` and `config check`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Read settings from this TOML file. Its keys are the names of these flags; variables and flags outrank it
    #[arg(long, env = "SAC_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The folder whose newest checkpoint is served, or the file to serve: as --dir or --model. A folder need not exist yet, if the
    /// one above it does
    #[arg(value_name = "FOLDER|FILE")]
    pub path: Option<PathBuf>,

    /// The address to listen on. Port 0 selects a free port, which the log names. A path is a Unix socket, to which this user and
    /// its group may connect. A socket that systemd passes outranks it
    #[arg(long, env = "SAC_LISTEN", default_value = Listen::DEFAULT, value_name = Listen::FORMS)]
    pub listen: Listen,

    /// Listen on this port of the address
    #[arg(long, env = "SAC_PORT", value_parser = whole::<u16, 0>, value_name = "PORT")]
    pub port: Option<u16>,

    /// Serve this checkpoint file and no other. While it is missing, there is no candidate
    #[arg(long, env = variables::MODEL, value_name = "FILE")]
    pub model: Option<PathBuf>,

    /// Serve the newest checkpoint in this folder [default: cache/models/rl/stat_pair]
    #[arg(long, env = variables::DIR, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,

    #[command(flatten)]
    pub names: PatternArgs,

    /// The name of the model in paths of the Open Inference Protocol, such as /v2/models/NAME/infer
    #[arg(long, env = variables::MODEL_NAME, default_value_t = ModelName::default(), value_name = "NAME")]
    pub model_name: ModelName,

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
    #[arg(long, env = "SAC_WORKERS", value_parser = whole::<u16, 1>, value_name = "N")]
    pub workers: Option<u16>,

    /// Select the consequence of a refused checkpoint: `keep` keeps the policy in service, `fail` answers 500, and is not ready, until a
    /// checkpoint loads
    #[arg(long, env = variables::ON_BAD_CHECKPOINT, value_parser = one_of::<OnBadCheckpoint>(OnBadCheckpoint::NAMES),
          default_value_t = OnBadCheckpoint::default())]
    pub on_bad_checkpoint: OnBadCheckpoint,

    /// Let clients choose which checkpoint of its folder serves: roll back to an older one, or pin one. The server must own the files
    #[arg(long, env = "SAC_ALLOW_ROLLBACK", value_parser = Boolean, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    pub allow_rollback: bool,

    /// Let a request wait this long for a new checkpoint to load. After that, the policy in service answers
    #[arg(long, env = "SAC_RELOAD_WAIT", default_value_t = Config::default().reload_wait.into(), value_name = "TIME")]
    pub reload_wait: humantime::Duration,

    /// Answer a larger request body with 413
    #[arg(long, env = variables::MAX_BODY_BYTES, value_parser = bytes::<usize>, default_value_t = defaults::MAX_BODY_BYTES,
          value_name = "BYTES")]
    pub max_body_bytes: usize,

    /// The largest number of states in a batch
    #[arg(long, env = variables::MAX_BATCH, value_parser = whole::<u32, 0>, default_value_t = defaults::MAX_BATCH, value_name = "N")]
    pub max_batch: u32,

    #[command(flatten)]
    pub root: RootArgs,

    #[command(flatten)]
    pub shadow: ShadowArgs,

    #[command(flatten)]
    pub decisions: DecisionArgs,

    #[command(flatten)]
    pub limits: LimitArgs,
}

impl ServeArgs {
    /// Returns the configuration of the service. Reads the token file.
    pub fn config(&self, defaults: Config) -> Result<Config> {
        let home = std::env::home_dir();
        let (model, dir) = self.location()?;
        let mut source = Source::new(model, dir, home.as_deref());
        source.patterns = self.names.patterns();
        let root = self.root.config(self.has_source())?;
        let served = [source.folder(), root.as_ref().map(|root| &*root.folder)];
        let served = served.into_iter().flatten().collect::<Vec<_>>();
        let (shadow, decision_log) = (self.shadow.config(!served.is_empty())?, self.decisions.config(&served)?);
        let config = self.load.config(source, defaults);
        check_statistics(config.source.vecnormalize.as_deref())?;
        Ok(self.limits.config(Config {
            model_name: self.model_name.clone(),
            root,
            shadow,
            allow_rollback: self.allow_rollback,
            decision_log,
            jit: self.jit,
            workers: self.workers.map_or(config.workers, usize::from),
            on_bad_checkpoint: self.on_bad_checkpoint,
            reload_wait: *self.reload_wait,
            max_body_bytes: self.max_body_bytes,
            max_batch: self.max_batch,
            tokens: self.tokens()?,
            ..config
        }))
    }

    /// Returns the configuration of the server. Reads the certificate and the key, and raises the limit of open files.
    pub fn http_config(&self, tokens: &Tokens) -> Result<HttpConfig> {
        Ok(HttpConfig { refuse_other_sites: tokens.is_empty() && !self.no_auth, ..self.limits.http_config()? })
    }

    /// Returns the address to listen on.
    pub fn listen(&self) -> Result<Listen> {
        self.listen.with_port(self.port)
    }

    /// Fails if other machines can reach an address and nothing protects it.
    pub fn check_reach(&self, tokens: &Tokens, address: &Listen) -> Result<()> {
        ensure!(
            self.no_auth || !tokens.is_empty() || address.is_local()?,
            "{address} can be reached from other machines: set a token (SAC_API_TOKEN or --api-token-file) or --no-auth"
        );
        Ok(())
    }

    /// Returns the file or the folder to serve. The path outranks the flags, which may be variables.
    fn location(&self) -> Result<(Option<&Path>, Option<&Path>)> {
        let Some(path) = self.path.as_deref() else { return Ok((self.model.as_deref(), self.dir.as_deref())) };
        match path.metadata() {
            Ok(found) if found.is_dir() => Ok((None, Some(path))),
            Ok(_) => Ok((Some(path), None)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => expected(path).map(|folder| (None, Some(folder))),
            Err(error) => bail!("{} cannot be served: {error}", path.display()),
        }
    }

    /// Returns `true` if an argument names a checkpoint or a folder.
    fn has_source(&self) -> bool {
        [&self.path, &self.model, &self.dir].into_iter().flatten().any(|path| !is_blank(path.as_os_str()))
    }

    fn tokens(&self) -> Result<Tokens> {
        let given = self.api_token.iter().map(|token| token.trim().to_owned());
        let is_carried = |token: &str| token.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        ensure!(
            given.clone().all(|token| is_carried(&token)),
            "the token (--api-token, SAC_API_TOKEN) has a character that no header carries: ASCII characters are expected"
        );
        let given = Tokens::new(given.filter(|token| !token.is_empty()));
        let tokens = match &self.api_token_file {
            Some(path) if self.root.root.is_some() => given.with_bound_file(path)?,
            Some(path) => given.with_file(path)?,
            None => given,
        };
        self.check_reach(&tokens, &self.listen()?)?;
        Ok(tokens)
    }
}

/// Returns a path that leads to nothing, if it is that of a folder which a trainer may be about to create. It is waited for, since
/// trainers and servers start in any order. A file, or a folder in one that is missing, is more likely a mistake.
fn expected(path: &Path) -> Result<&Path> {
    let (shown, text) = (path.display(), path.to_string_lossy());
    let word = shell_word(&text);
    if Patterns::has_extension(path.as_os_str()) {
        bail!("{shown}: there is no such file. To wait for it: --model {word}");
    }
    let with_extension = |extension: &&str| path.with_added_extension(extension);
    if let Some(file) = EXTENSIONS.iter().map(with_extension).find(|file| file.is_file()) {
        bail!("{shown} does not exist: did you mean {}? To wait for the folder: --dir {word}", file.display());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(
        parent.is_dir(),
        "{shown} does not exist, and neither does {}. Create it: mkdir -p {word}",
        parent.display()
    );
    Ok(path)
}

/// Fails if there are no VecNormalize statistics at the path that the operator names. Otherwise each checkpoint would be refused.
fn check_statistics(path: Option<&Path>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let found = path.metadata().with_context(|| format!("--vecnormalize: {} cannot be read", path.display()))?;
    ensure!(found.is_file(), "--vecnormalize: {} is no file", path.display());
    Ok(())
}
