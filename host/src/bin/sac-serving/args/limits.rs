//! The flags of limits and of HTTPS.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use sac_serving::{BasePath, Config, HttpConfig, Origin, Origins, SandboxLimits, Tls};
use tracing::warn;

use crate::args::values::{Boolean, bytes_from, whole};
use crate::platform::descriptors;

/// The descriptors that are not for clients: files, sockets, libraries.
const OWN_DESCRIPTORS: u64 = 64;

/// The memory in which an instance starts and loads the smallest policies.
const LEAST_MEMORY: u64 = 8 << 20;

/// The size of a head that some clients send with each request.
const LEAST_HEAD: u64 = 1 << 10;

/// The limits of checkpoints, requests and clients.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Limit the memory of an instance of the component [default: four times the largest checkpoint, at least 256 MiB]
    #[arg(long, env = "SAC_MAX_INSTANCE_BYTES", value_parser = bytes_from::<usize, LEAST_MEMORY>, value_name = "BYTES")]
    pub max_instance_bytes: Option<usize>,

    /// Limit the memory of all instances together. As much of it as one instance may take is kept for loading
    /// the next checkpoint [default: four times --max-instance-bytes]
    #[arg(long, env = "SAC_MAX_MEMORY", value_parser = bytes_from::<usize, LEAST_MEMORY>, value_name = "BYTES")]
    pub max_memory: Option<usize>,

    /// Refuse a checkpoint that needs more processor time to load
    #[arg(long, env = "SAC_LOAD_TIME", default_value_t = SandboxLimits::default().load_time.into(), value_name = "TIME")]
    pub load_time: humantime::Duration,

    /// Stop a request that needs more processor time
    #[arg(long, env = "SAC_CALL_TIME", default_value_t = SandboxLimits::default().call_time.into(), value_name = "TIME")]
    pub call_time: humantime::Duration,

    /// Stop a large batch or a benchmark that needs more processor time
    #[arg(long, env = "SAC_LONG_CALL_TIME", default_value_t = SandboxLimits::default().long_call_time.into(), value_name = "TIME")]
    pub long_call_time: humantime::Duration,

    /// Answer 503 to requests beyond this number at once. Health is exempt
    #[arg(long, env = "SAC_MAX_IN_FLIGHT", value_parser = whole::<usize, 1>, default_value_t = Config::default().max_in_flight, value_name = "N")]
    pub max_in_flight: usize,

    /// Answer 503 to connections beyond this number at once, and close them
    #[arg(long, env = "SAC_MAX_CONNECTIONS", value_parser = whole::<usize, 1>, default_value_t = HttpConfig::default().max_connections,
          value_name = "N")]
    pub max_connections: usize,

    /// Answer 503 to connections of one address, or of one user by a Unix socket, beyond this number [default: seven eighths of --max-connections]
    #[arg(long, env = "SAC_MAX_CONNECTIONS_PER_ADDRESS", value_parser = whole::<usize, 1>, value_name = "N")]
    pub max_connections_per_address: Option<usize>,

    /// Answer 431 to a larger request head, or to one of more than 100 headers
    #[arg(long, env = "SAC_MAX_HEAD_BYTES", value_parser = bytes_from::<usize, LEAST_HEAD>, default_value_t = HttpConfig::default().max_head_bytes,
          value_name = "BYTES")]
    pub max_head_bytes: usize,

    /// Close a connection that sends no complete request head, or does not read its response, for this long
    #[arg(long, env = "SAC_IDLE_TIME", default_value_t = HttpConfig::default().idle_time.into(), value_name = "TIME")]
    pub idle_time: humantime::Duration,

    /// Answer 408 to a request whose body takes longer to arrive
    #[arg(long, env = "SAC_BODY_TIME", default_value_t = Config::default().body_time.into(), value_name = "TIME")]
    pub body_time: humantime::Duration,

    /// When the server is asked to stop, let health answer 503 and serve on for this long, so that load balancers send requests elsewhere
    #[arg(long, env = "SAC_LAME_DUCK", default_value_t = HttpConfig::default().lame_duck_time.into(), value_name = "TIME")]
    pub lame_duck: humantime::Duration,

    /// When the server stops, let requests in flight finish for this long
    #[arg(long, env = "SAC_DRAIN_TIME", default_value_t = HttpConfig::default().drain_time.into(), value_name = "TIME")]
    pub drain_time: humantime::Duration,

    /// Log a line for each request
    #[arg(long, env = "SAC_ACCESS_LOG", value_parser = Boolean, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    pub access_log: bool,

    /// Let pages of this origin, such as https://example.com, send requests and read the responses; `*` lets all
    #[arg(long, env = "SAC_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors_origin: Vec<Origin>,

    /// The path below which a proxy shows this server, such as /rl, if the proxy does not remove it
    #[arg(long, env = "SAC_BASE_PATH", value_name = "PATH")]
    pub base_path: Option<BasePath>,

    /// Serve HTTPS with the certificate chain in this PEM file. It is read again when it changes, as is the key
    #[arg(long, env = "SAC_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of the certificate, in a PEM file
    #[arg(long, env = "SAC_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

impl LimitArgs {
    /// Adds the limits to a configuration.
    pub fn config(&self, config: Config) -> Config {
        let defaults = SandboxLimits::default();
        let copies = usize::try_from(config.source.limits.max_bytes).unwrap_or(usize::MAX).saturating_mul(4);
        let memory_bytes = self.max_instance_bytes.unwrap_or(defaults.memory_bytes.max(copies));
        let sandbox = SandboxLimits {
            memory_bytes,
            total_memory_bytes: self.max_memory.unwrap_or(memory_bytes.saturating_mul(4)),
            load_time: *self.load_time,
            call_time: *self.call_time,
            long_call_time: *self.long_call_time,
            ..defaults
        };
        Config { sandbox, max_in_flight: self.max_in_flight, body_time: *self.body_time, ..config }
    }

    /// Reads the certificate and the key, and raises the process's limit of open files.
    pub fn http_config(&self) -> Result<HttpConfig> {
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(chain), Some(key)) => Some(Arc::new(Tls::new(chain, key)?)),
            (None, None) => None,
            (Some(_), None) => bail!("--tls-cert needs --tls-key"),
            (None, Some(_)) => bail!("--tls-key needs --tls-cert"),
        };
        Ok(HttpConfig {
            max_connections: self.connections(),
            max_connections_per_address: self.max_connections_per_address,
            max_head_bytes: self.max_head_bytes,
            idle_time: *self.idle_time,
            lame_duck_time: *self.lame_duck,
            drain_time: *self.drain_time,
            access_log: self.access_log,
            cors_origins: (!self.cors_origin.is_empty()).then(|| Origins::new(self.cors_origin.iter().cloned())),
            base_path: self.base_path.clone(),
            tls,
            ..HttpConfig::default()
        })
    }

    /// Returns the number of connections that leaves descriptors for checkpoints. So a client over the limit gets a 503, and a
    /// reload never runs out of descriptors.
    fn connections(&self) -> usize {
        let most = descriptors().saturating_sub(OWN_DESCRIPTORS).max(1);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if self.max_connections > most {
            warn!("--max-connections is {most} instead of {}: the limit of open files is lower", self.max_connections);
        }
        self.max_connections.min(most)
    }
}
