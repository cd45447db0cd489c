//! Starts either owner of a checkpoint folder on a port of its own, with settings that both have.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use sac_owner::settings::{ModelName, defaults};
use sac_serving::{
    ActionBounds, Activation, Config, DefaultPolicy, HttpConfig, Listener, OnBadCheckpoint, RootConfig, SacService,
    SandboxLimits, Source, Tokens,
};
use tempfile::{TempDir, tempdir};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::composed;
use crate::runtime::{self, Runtime};

/// Longer than anything takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(600);

/// The program that owns the checkpoint folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// `sac-serving`.
    Host,
    /// The Spin gateway composed with the actor: in wasmtime-wasi-http's handler, or in the runtime that a variable names.
    Composed,
    /// As `Host`, on a Unix socket.
    HostOnUnixSocket,
    /// As `Host`; the folder is a policy of a root, and clients have its prefix as their base URL.
    HostWithRoot,
    /// As `Composed`, with the folder as in `HostWithRoot`.
    ComposedWithRoot,
}

/// A root of policies that both owners have.
#[derive(Debug, Clone)]
pub struct RootSettings {
    pub folder: PathBuf,
    /// The policy of the root that answers paths without a prefix, instead of that of the folder.
    pub default: Option<ModelName>,
    pub max_policies: usize,
}

/// The settings that both owners have.
#[derive(Debug, Clone)]
pub struct Settings {
    pub model: Option<PathBuf>,
    pub dir: PathBuf,
    /// A root. The folder then serves nothing.
    pub root: Option<RootSettings>,
    /// Where the folder is mounted for the composed component, which then has no variable that names it. With `None` it
    /// is mounted under its own name, and the variable names it.
    pub mount: Option<String>,
    pub model_name: ModelName,
    pub token: Option<String>,
    pub jit: bool,
    pub activation: Option<Activation>,
    pub action_bounds: Option<ActionBounds>,
    pub pattern: &'static str,
    pub on_bad_checkpoint: OnBadCheckpoint,
    pub max_batch: u32,
    pub max_body_bytes: usize,
    pub max_checkpoint_bytes: u64,
    /// Variables of spin.toml, in capitals. Only Spin has them.
    pub spin_variables: Vec<(&'static str, String)>,
}

/// A server on a port of its own, ended when it is dropped.
pub struct Server {
    /// Not of a server on a Unix socket, which nobody reaches by it.
    pub address: SocketAddr,
    socket: Option<UnixSocket>,
    /// The base URL of the policy without the address.
    prefix: String,
    /// `None` for [`Owner::Composed`].
    service: Option<SacService>,
    _running: Running,
}

/// The path of a Unix socket, in a folder of its own.
struct UnixSocket {
    path: PathBuf,
    _folder: TempDir,
}

/// The task or the program behind a server. It ends when this is dropped.
enum Running {
    Task(#[expect(dead_code, reason = "it is dropped")] Task),
    Runtime(#[expect(dead_code, reason = "it is dropped")] runtime::Running),
}

/// A task that ends with its handle.
struct Task(JoinHandle<()>);

impl Settings {
    pub fn folder(dir: &Path) -> Settings {
        Settings {
            model: None,
            dir: dir.to_owned(),
            root: None,
            mount: None,
            model_name: ModelName::default(),
            token: None,
            jit: true,
            activation: None,
            action_bounds: None,
            pattern: defaults::PATTERN,
            on_bad_checkpoint: OnBadCheckpoint::default(),
            max_batch: defaults::MAX_BATCH,
            max_body_bytes: defaults::MAX_BODY_BYTES,
            max_checkpoint_bytes: defaults::MAX_CHECKPOINT_BYTES,
            spin_variables: Vec::new(),
        }
    }

    /// The host's configuration, for tests that need more than both owners have. Its time limits end no request only
    /// because the machine is busy.
    pub fn config(&self) -> Config {
        let mut source = Source::new(self.model.as_deref(), Some(&self.dir), None);
        source.limits.max_bytes = self.max_checkpoint_bytes;
        source.patterns = self.pattern.parse().expect("patterns");
        Config {
            source,
            root: self.root.as_ref().map(RootSettings::config),
            model_name: self.model_name.clone(),
            jit: self.jit,
            activation: self.activation,
            action_bounds: self.action_bounds.clone(),
            workers: 2,
            on_bad_checkpoint: self.on_bad_checkpoint,
            max_body_bytes: self.max_body_bytes,
            max_batch: self.max_batch,
            tokens: Tokens::new(self.token.clone()),
            cache_dir: Some(cache_dir()),
            reload_wait: PATIENCE,
            body_time: PATIENCE,
            sandbox: patient_sandbox(),
            ..Config::default()
        }
    }
}

impl RootSettings {
    pub fn folder(folder: &Path) -> RootSettings {
        RootSettings { folder: folder.to_owned(), default: None, max_policies: 4 }
    }

    fn config(&self) -> RootConfig {
        let default = self.default.clone().map_or(DefaultPolicy::None, DefaultPolicy::Named);
        RootConfig { default, max_policies: self.max_policies, ..RootConfig::new(&self.folder) }
    }
}

impl Owner {
    pub fn is_host(self) -> bool {
        matches!(self, Owner::Host | Owner::HostOnUnixSocket | Owner::HostWithRoot)
    }
}

impl Settings {
    /// Serves the folder as a policy of its parent, and returns the prefix of its routes.
    fn with_root(&self) -> (Settings, String) {
        let (root, name) = (self.dir.parent().expect("a folder"), self.dir.file_name().expect("a name"));
        assert!(self.model.is_none() && self.mount.is_none(), "a root has folders");
        let settings = Settings { root: Some(RootSettings::folder(root)), ..self.clone() };
        (settings, format!("/policies/{}", name.to_str().expect("a name")))
    }

    /// The host's service, without a server around it.
    pub async fn service(&self) -> SacService {
        build(self.config()).await
    }
}

impl Server {
    pub async fn start(kind: Owner, settings: &Settings) -> Server {
        match kind {
            Owner::HostWithRoot | Owner::ComposedWithRoot => {
                let (settings, prefix) = settings.with_root();
                let plain = if kind.is_host() { Owner::Host } else { Owner::Composed };
                Server { prefix, ..Box::pin(Server::start(plain, &settings)).await }
            }
            Owner::Host => Server::with_config(settings.config()).await,
            Owner::HostOnUnixSocket => Server::on_unix_socket(settings.config(), patient_http()).await,
            Owner::Composed => Server::composed(settings).await,
        }
    }

    async fn composed(settings: &Settings) -> Server {
        let settings = settings.clone();
        let (address, running) = match Runtime::named() {
            Some(runtime) => {
                let start = tokio::task::spawn_blocking(move || runtime.start(&settings));
                let running = start.await.expect("no panic");
                (running.address, Running::Runtime(running))
            }
            None => {
                let listener = listen().await;
                let address = listener.local_addr().expect("bound");
                (address, Running::Task(Task(tokio::spawn(composed::serve(listener, settings)))))
            }
        };
        Server { address, socket: None, prefix: String::new(), service: None, _running: running }
    }

    /// The host, serving the newest checkpoint of a folder.
    pub async fn folder(dir: &Path) -> Server {
        Server::start(Owner::Host, &Settings::folder(dir)).await
    }

    pub async fn with_config(config: Config) -> Server {
        Server::with_http(config, patient_http()).await
    }

    pub async fn with_http(config: Config, http: HttpConfig) -> Server {
        let listener = listen().await;
        let address = listener.local_addr().expect("bound");
        Server { address, ..Server::on(listener, config, http).await }
    }

    pub async fn on_unix_socket(config: Config, http: HttpConfig) -> Server {
        let folder = tempdir().expect("a temporary folder");
        let path = folder.path().join("http.sock");
        let listener = Listener::unix(&path).await.expect("a free path");
        Server { socket: Some(UnixSocket { path, _folder: folder }), ..Server::on(listener, config, http).await }
    }

    async fn on(listener: impl Into<Listener>, config: Config, http: HttpConfig) -> Server {
        let service = build(config).await;
        let task = tokio::spawn(sac_serving::serve(listener.into(), service.clone(), http, std::future::pending()));
        let (address, running) = (SocketAddr::from(([0; 4], 0)), Running::Task(Task(task)));
        Server { address, socket: None, prefix: String::new(), service: Some(service), _running: running }
    }

    pub async fn client(&self) -> Client {
        let client = match &self.socket {
            None => Client::connect(self.address).await,
            Some(socket) => Client::connect_unix(&socket.path).await,
        };
        client.with_prefix(&self.prefix)
    }

    /// The path of the Unix socket of [`Owner::HostOnUnixSocket`].
    pub fn socket(&self) -> &Path {
        &self.socket.as_ref().expect("a Unix socket").path
    }

    /// The service behind [`Owner::Host`].
    pub fn service(&self) -> &SacService {
        self.service.as_ref().expect("the host")
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The limits of a connection, without those that a busy machine could exceed.
pub fn patient_http() -> HttpConfig {
    HttpConfig { idle_time: PATIENCE, drain_time: PATIENCE, ..HttpConfig::default() }
}

/// The limits of an instance, without those that a busy machine could exceed.
pub fn patient_sandbox() -> SandboxLimits {
    SandboxLimits { load_time: PATIENCE, call_time: PATIENCE, long_call_time: PATIENCE, ..SandboxLimits::default() }
}

async fn build(config: Config) -> SacService {
    static COMPILED: Once = Once::new();
    // The harness shows the log of a test that fails.
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    let build = move || {
        // The first test that comes here compiles the component for all of them.
        COMPILED.call_once(|| drop(SacService::new(Config { cache_dir: Some(cache_dir()), ..Config::default() })));
        SacService::new(config)
    };
    tokio::task::spawn_blocking(build).await.expect("no panic").expect("a service")
}

/// Where the compiled component is kept from run to run: in the target folder.
pub fn cache_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tests-cache")
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}
