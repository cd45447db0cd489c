//! The settings of the HTTP server.

use std::sync::Arc;
use std::time::Duration;

use crate::http::base_path::BasePath;
use crate::http::cors::Origins;
use crate::http::tls::Tls;

/// The settings of [`crate::serve`]: the limits of connections, and the clients that are accepted. Start from
/// [`HttpConfig::default`].
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// The number of connections. Any other gets 503 and is closed.
    pub max_connections: usize,
    /// The number of connections from one address, or from one network of IPv6. `None` leaves an eighth of
    /// `max_connections` for other addresses.
    pub max_connections_per_address: Option<usize>,
    /// The size limit of a request head. A larger head gets 431, as does one of more than 100 headers.
    pub max_head_bytes: usize,
    /// The time in which the whole head of a connection's first or next request must arrive. After it, the connection is
    /// closed, whether it is idle or slow. The same limit holds for a TLS handshake, and for a client that does not read its response.
    /// A client that reads slowly has more time: one second for each 16 KiB that it has read.
    pub idle_time: Duration,
    /// The time after a shutdown begins in which health answers 503 and requests are served, so that a load balancer turns
    /// to others. Each response says that its connection ends.
    pub lame_duck_time: Duration,
    /// The time that requests in flight have to finish after that.
    pub drain_time: Duration,
    /// Answers 403 to a browser that sends a request for a page of another site, and to a request that names this server
    /// otherwise than by `localhost` or an address. This protects a server without a token that is meant for this machine
    /// alone.
    pub refuse_other_sites: bool,
    /// The origins whose pages may send requests and read the responses, in spite of `refuse_other_sites`. `None` allows
    /// those of this server alone.
    pub cors_origins: Option<Origins>,
    /// The path below which a proxy shows this server, and which it does not remove. Requests without it are answered too.
    pub base_path: Option<BasePath>,
    /// Logs a line for each request.
    pub access_log: bool,
    /// The certificate for HTTPS. `None` serves plain HTTP.
    pub tls: Option<Arc<Tls>>,
}

impl HttpConfig {
    /// Returns the number of connections that one address may have.
    pub fn per_address(&self) -> usize {
        self.max_connections_per_address.unwrap_or(self.max_connections - self.max_connections / 8).max(1)
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            max_connections: 1024,
            max_connections_per_address: None,
            max_head_bytes: 16 << 10,
            // Longer than load balancers keep a connection, which is a minute most often: they must be the ones to close.
            idle_time: Duration::from_secs(75),
            lame_duck_time: Duration::ZERO,
            drain_time: Duration::from_secs(10),
            refuse_other_sites: false,
            cors_origins: None,
            base_path: None,
            access_log: false,
            tls: None,
        }
    }
}
