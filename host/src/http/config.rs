use std::sync::Arc;
use std::time::Duration;

use crate::http::tls::Tls;

/// What a client may take of the server before its request is one. Start from [`Edge::default`].
#[derive(Debug, Clone)]
pub struct Edge {
    /// A connection beyond these is answered 503 and closed.
    pub max_connections: usize,
    /// A larger head of a request is answered with 431, as is one of more than 100 headers.
    pub max_head_bytes: usize,
    /// How long a connection may take from an answer, or from its beginning, to the whole head of its next request: idle
    /// or slow, it is closed then. A TLS handshake, and an answer that the client does not read on, may take as long.
    pub idle_time: Duration,
    /// How long requests in flight may take to finish once a shutdown has begun.
    pub drain_time: Duration,
    /// Answer 403 to what a browser asks for a page of another site, and to whatever names this server by another name
    /// than `localhost` or an address: for a server without a token that is meant for this machine alone.
    pub refuse_other_sites: bool,
    /// Log a line for each request.
    pub access_log: bool,
    /// None serves plain HTTP.
    pub tls: Option<Arc<Tls>>,
}

impl Default for Edge {
    fn default() -> Self {
        Edge {
            max_connections: 1024,
            max_head_bytes: 16 << 10,
            idle_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(10),
            refuse_other_sites: false,
            access_log: false,
            tls: None,
        }
    }
}
