use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use sac_serving::{Config, Edge, SandboxLimits, Tls};
use tracing::warn;

use crate::args::values::Boolean;

/// Descriptors that are none of a client's: files, sockets, libraries.
const OWN_DESCRIPTORS: u64 = 64;

/// What a checkpoint, a request, or a client may take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct Guards {
    /// The most memory of an instance of the component [default: four times the largest checkpoint, or 256 MiB if more]
    #[arg(long, env = "SAC_MAX_INSTANCE_BYTES", value_name = "BYTES")]
    pub max_instance_bytes: Option<usize>,

    /// Refuse a checkpoint that takes more processor time to load
    #[arg(long, env = "SAC_LOAD_TIME", default_value_t = SandboxLimits::default().load_time.into(), value_name = "TIME")]
    pub load_time: humantime::Duration,

    /// Stop a request that takes more processor time
    #[arg(long, env = "SAC_CALL_TIME", default_value_t = SandboxLimits::default().call_time.into(), value_name = "TIME")]
    pub call_time: humantime::Duration,

    /// Stop a large batch or a benchmark that takes more processor time
    #[arg(long, env = "SAC_LONG_CALL_TIME", default_value_t = SandboxLimits::default().long_call_time.into(), value_name = "TIME")]
    pub long_call_time: humantime::Duration,

    /// Answer 503 to more requests at once than these; health is answered all the same
    #[arg(long, env = "SAC_MAX_IN_FLIGHT", default_value_t = Config::default().max_in_flight, value_name = "N")]
    pub max_in_flight: usize,

    /// Answer 503 to more connections at once than these, and close them
    #[arg(long, env = "SAC_MAX_CONNECTIONS", default_value_t = Edge::default().max_connections, value_name = "N")]
    pub max_connections: usize,

    /// Answer 431 to a larger head of a request, or to one of more than 100 headers
    #[arg(long, env = "SAC_MAX_HEAD_BYTES", default_value_t = Edge::default().max_head_bytes, value_name = "BYTES")]
    pub max_head_bytes: usize,

    /// Close a connection that gives no whole head of a request for this long, or that does not read its answer
    #[arg(long, env = "SAC_IDLE_TIME", default_value_t = Edge::default().idle_time.into(), value_name = "TIME")]
    pub idle_time: humantime::Duration,

    /// Answer 408 to a request whose body takes longer to come
    #[arg(long, env = "SAC_BODY_TIME", default_value_t = Config::default().body_time.into(), value_name = "TIME")]
    pub body_time: humantime::Duration,

    /// Give requests in flight this long to finish when the server is stopped
    #[arg(long, env = "SAC_DRAIN_TIME", default_value_t = Edge::default().drain_time.into(), value_name = "TIME")]
    pub drain_time: humantime::Duration,

    /// Log a line for each request
    #[arg(long, env = "SAC_ACCESS_LOG", value_parser = Boolean, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    pub access_log: bool,

    /// Serve HTTPS with the certificate chain of this PEM file; it is read anew when it changes, as is its key
    #[arg(long, env = "SAC_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// The private key, a PEM file
    #[arg(long, env = "SAC_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

impl Guards {
    pub fn config(&self, config: Config) -> Config {
        let defaults = SandboxLimits::default();
        let copies = usize::try_from(config.source.limits.max_bytes).unwrap_or(usize::MAX).saturating_mul(4);
        let sandbox = SandboxLimits {
            memory_bytes: self.max_instance_bytes.unwrap_or(defaults.memory_bytes.max(copies)),
            load_time: *self.load_time,
            call_time: *self.call_time,
            long_call_time: *self.long_call_time,
            ..defaults
        };
        Config { sandbox, max_in_flight: self.max_in_flight, body_time: *self.body_time, ..config }
    }

    /// Reads the certificate and the key, and lets the process open as many files as it may.
    pub fn edge(&self) -> Result<Edge> {
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(chain), Some(key)) => Some(Arc::new(Tls::new(chain, key)?)),
            (None, None) => None,
            (Some(_), None) => bail!("--tls-cert is of no use without --tls-key"),
            (None, Some(_)) => bail!("--tls-key is of no use without --tls-cert"),
        };
        Ok(Edge {
            max_connections: self.connections(),
            max_head_bytes: self.max_head_bytes,
            idle_time: *self.idle_time,
            drain_time: *self.drain_time,
            access_log: self.access_log,
            tls,
            ..Edge::default()
        })
    }

    /// No more than leave descriptors for checkpoints: a client beyond them is told, and a swap never waits for one.
    fn connections(&self) -> usize {
        let most = descriptors().saturating_sub(OWN_DESCRIPTORS).max(1);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if self.max_connections > most {
            warn!("{most} connections at once, not {}: the limit of open files allows no more", self.max_connections);
        }
        self.max_connections.min(most)
    }
}

/// How many may be open, after the soft limit was raised to the hard one.
pub fn descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    // None is no limit.
    let current = if raised.is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}
