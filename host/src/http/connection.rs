//! One connection: its limits, and the checks that every request passes whatever its route.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::info;

use crate::http::config::HttpConfig;
use crate::http::error::Error;
use crate::http::form::Form;
use crate::http::origin::is_from_other_site;
use crate::http::paced::Paced;
use crate::http::peer::{Peer, Socket};
use crate::http::places::Place;
use crate::http::route::Health;
use crate::http::service::SacService;
use crate::http::socket::{ClientAddress, Connection};
use crate::observe::metrics::Counted;

/// The size of a connection's buffer, for heads and for parts of bodies.
const BUFFER_BYTES: usize = 64 << 10;

/// The time in which a connection in a spare place must ask.
const SPARE_TIME: Duration = Duration::from_secs(1);
/// The routes that a connection in a spare place may ask for, beside those of health.
const SPARE_ROUTES: [&str; 2] = ["/healthz", "/metrics"];

/// The response to a connection over the limit, if it is one without TLS.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    content-length: 33\r\nretry-after: 1\r\nconnection: close\r\n\r\n{\"detail\":\"too many connections\"}";

/// The state that all connections share.
pub(crate) struct Server<A> {
    pub(crate) service: SacService,
    pub(crate) answer: A,
    pub(crate) config: HttpConfig,
}

/// One connection, for its requests.
#[derive(Clone)]
struct Client {
    address: ClientAddress,
    peer: Peer,
    held: Held,
}

/// The place of a connection, and its part in the metrics. A request that turns its connection into a WebSocket has this as
/// an extension, and keeps it until that ends.
#[derive(Clone)]
pub(crate) struct Held(Arc<Holding>);

struct Holding {
    place: Place,
    _counted: Counted,
}

/// Answers a connection over the limit, as far as that takes no time.
pub(crate) fn turn_away(connection: &Connection, config: &HttpConfig) {
    if config.tls.is_none() {
        // The buffer of a new connection has room for the response. If not, the client gets none.
        let _ = connection.try_write(TOO_MANY_CONNECTIONS);
        // If the kernel closed the connection with unread data, it would discard the response.
        let _ = connection.try_read(&mut [0; 4096]);
    }
}

impl<A, R> Server<A>
where
    A: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    /// Serves a connection to its end, which is that of the request in flight once `draining` is true.
    pub(crate) async fn serve(
        self: Arc<Self>,
        connection: Connection,
        address: ClientAddress,
        draining: watch::Receiver<bool>,
        place: Place,
    ) -> Result<()> {
        connection.prepare()?;
        if place.is_spare && timeout(SPARE_TIME, connection.peek()).await.is_err() {
            turn_away(&connection, &self.config);
            return Ok(());
        }
        let counted = self.service.metrics_registry().connection();
        let (stream, peer) = Socket::new(connection);
        let held = Held(Arc::new(Holding { place, _counted: counted }));
        let client = Client { address, peer: peer.clone(), held };
        let served = self.serve_stream(stream, client, draining).await;
        if served.as_ref().is_err_and(is_late) {
            peer.reset();
        }
        served
    }

    async fn serve_stream(
        self: Arc<Self>,
        stream: Socket,
        client: Client,
        draining: watch::Receiver<bool>,
    ) -> Result<()> {
        match &self.config.tls {
            None => self.serve_requests(stream, client, draining).await,
            Some(tls) => {
                let handshake = async { tls.acceptor().await.accept(stream).await };
                let stream = timeout(self.idle_time(&client), handshake).await??;
                self.serve_requests(stream, client, draining).await
            }
        }
    }

    async fn serve_requests<S>(
        self: Arc<Self>,
        stream: S,
        client: Client,
        mut draining: watch::Receiver<bool>,
    ) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = &self.config;
        let (idle_time, is_spare) = (self.idle_time(&client), client.held.0.place.is_spare);
        // Reading has its own limits, and nothing is read while a response is computed.
        let stream = Paced::new(stream, idle_time);
        let server = self.clone();
        let answer = service_fn(move |request| {
            let (server, client) = (server.clone(), client.clone());
            async move { Ok::<_, Infallible>(server.answer(request, client).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(idle_time)
            .max_header_size(config.max_head_bytes)
            .max_buf_size(BUFFER_BYTES.max(config.max_head_bytes))
            .keep_alive(!is_spare)
            // A client that closes its sending side may still read.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), answer)
            .with_upgrades();
        let mut connection = pin!(connection);
        tokio::select! {
            ended = &mut connection => return Ok(ended?),
            // The sender lives as long as the server.
            _ = draining.wait_for(|draining| *draining) => connection.as_mut().graceful_shutdown(),
        }
        Ok(connection.await?)
    }

    fn idle_time(&self, client: &Client) -> Duration {
        if client.held.0.place.is_spare { self.config.idle_time.min(SPARE_TIME) } else { self.config.idle_time }
    }

    // A connection reserves memory for this future, and each `await` of a response would add its own. So there is one.
    async fn answer(&self, mut request: Request<Incoming>, client: Client) -> Response<Full<Bytes>> {
        client.held.0.place.ask();
        let logged = || (request.method().clone(), request.uri().path().to_owned(), Instant::now());
        let logged = self.config.access_log.then(logged);
        let base = self.config.base_path.as_ref();
        base.inspect(|base| base.apply(&mut request));
        let redirect = base.and_then(|base| base.redirect(request.uri().path()));
        let mut response = match (redirect, self.refusal(&request, &client), &self.config.cors_origins) {
            (_, Some(error), _) => error.into_response(Form::of(self.service.address(request.uri().path()).path)),
            (Some(redirect), ..) => redirect,
            (_, _, origins) => {
                request.extensions_mut().insert(client.peer);
                if request.headers().contains_key(UPGRADE) {
                    request.extensions_mut().insert(client.held);
                    // A stream needs them too: a browser lets any page read its messages.
                    origins.iter().for_each(|origins| drop(request.extensions_mut().insert(origins.clone())));
                }
                match origins {
                    None => (self.answer)(request).await,
                    // Boxed, because otherwise the future of every request would be larger.
                    Some(origins) => Box::pin(origins.answer(request, &self.answer)).await,
                }
            }
        };
        if self.service.is_stopping() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some((method, path, start)) = logged {
            let (client, status, duration) = (client.address, response.status().as_u16(), start.elapsed());
            info!(%client, %method, path, status, duration_ms = duration.as_micros() as f64 / 1e3, "request");
        }
        response
    }

    /// Returns the error of a request that no route may answer.
    fn refusal(&self, request: &Request<Incoming>, client: &Client) -> Option<Error> {
        let (uri, headers) = (request.uri(), request.headers());
        // RFC 9112, section 3.2.
        if request.version() == Version::HTTP_11 && headers.get_all(HOST).iter().count() != 1 {
            return Some(Error::Host);
        }
        let is_health = || Health::of(self.service.address(uri.path()).path).is_some();
        if client.held.0.place.is_spare && !SPARE_ROUTES.contains(&uri.path()) && !is_health() {
            return Some(Error::TooManyConnections);
        }
        let allowed = self.config.cors_origins.as_ref();
        (self.config.refuse_other_sites && is_from_other_site(uri, headers, allowed)).then_some(Error::OtherSite)
    }
}

/// Returns `true` if the client took too long to read.
fn is_late(error: &anyhow::Error) -> bool {
    let io = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().any(|cause| io(cause) == Some(io::ErrorKind::TimedOut))
}
