//! The HTTP/1.1 server: connections, their limits, and shutdown. It knows no route.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, info, warn};

use crate::http::config::HttpConfig;
use crate::http::error::Error;
use crate::http::origin::is_from_other_site;
use crate::http::router::Router;
use crate::http::service::SacService;

/// The size of a connection's buffer, for heads and for parts of bodies.
const BUFFER_BYTES: usize = 64 << 10;

/// The response to a connection over the limit, if it is one without TLS.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    content-length: 33\r\nretry-after: 1\r\nconnection: close\r\n\r\n{\"detail\":\"too many connections\"}";

/// Serves the routes of a [`Router`] over HTTP/1.1 until `shutdown` resolves, then lets the requests in flight finish.
///
/// The checkpoint loads in the background. Only requests that need it wait for it.
pub async fn serve(listener: TcpListener, service: SacService, config: HttpConfig, shutdown: impl Future<Output = ()>) {
    let router = Arc::new(Router::new(service.clone()));
    let answer = move |request| {
        let router = router.clone();
        async move { router.respond(request).await }
    };
    serve_with(listener, service, answer, config, shutdown).await;
}

/// Serves as [`serve`] does, but by a function of the caller. `answer` may have its own routes, and leave the others to
/// [`Router::respond`].
pub async fn serve_with<R>(
    listener: TcpListener,
    service: SacService,
    answer: impl Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    config: HttpConfig,
    shutdown: impl Future<Output = ()>,
) where
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let preload = service.clone();
    tokio::spawn(async move { preload.preload().await });
    let drain_time = config.drain_time;
    let permits = Arc::new(Semaphore::new(config.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let server = Arc::new(Server { service, answer, config });
    let connections = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => server.accept(stream, client, &permits, connections.watcher()),
                Err(error) => {
                    // Most often the limit of open files is reached. Meanwhile connections may end.
                    warn!("a connection cannot be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    info!("shutting down: finishing the requests in flight");
    if timeout(drain_time, connections.shutdown()).await.is_err() {
        warn!("requests still in flight after {} s are cut off", drain_time.as_secs_f32());
    }
}

/// The state that all connections share.
struct Server<A> {
    service: SacService,
    answer: A,
    config: HttpConfig,
}

impl<A, R> Server<A>
where
    A: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    fn accept(self: &Arc<Self>, stream: TcpStream, client: SocketAddr, permits: &Arc<Semaphore>, watcher: Watcher) {
        match permits.clone().try_acquire_owned() {
            Ok(permit) => {
                let server = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = server.serve_connection(stream, client, watcher, permit).await {
                        debug!("connection: {error:#}");
                    }
                });
            }
            Err(_) if self.config.tls.is_none() => {
                // The buffer of a new connection has room for the response. If not, the client gets none.
                let _ = stream.try_write(TOO_MANY_CONNECTIONS);
                // If the kernel closed the connection with unread data, it would discard the response.
                let _ = stream.try_read(&mut [0; 4096]);
            }
            Err(_) => {}
        }
    }

    async fn serve_connection(
        self: Arc<Self>,
        stream: TcpStream,
        client: SocketAddr,
        watcher: Watcher,
        _permit: OwnedSemaphorePermit,
    ) -> Result<()> {
        stream.set_nodelay(true)?;
        let _counted = self.service.holder().metrics().connection();
        match &self.config.tls {
            None => self.serve_requests(stream, client, watcher).await,
            Some(tls) => {
                let handshake = tls.acceptor().accept(stream);
                let stream = timeout(self.config.idle_time, handshake).await??;
                self.serve_requests(stream, client, watcher).await
            }
        }
    }

    async fn serve_requests<S>(self: Arc<Self>, stream: S, client: SocketAddr, watcher: Watcher) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let mut stream = TimeoutStream::new(stream);
        // Reading has its own limits, and nothing is read while a response is computed.
        stream.set_write_timeout(Some(self.config.idle_time));
        let config = &self.config;
        let server = self.clone();
        let answer = service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request, client).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(config.idle_time)
            .max_header_size(config.max_head_bytes)
            .max_buf_size(BUFFER_BYTES.max(config.max_head_bytes))
            // A client that closes its sending side may still read.
            .half_close(true)
            .serve_connection(TokioIo::new(Box::pin(stream)), answer);
        Ok(watcher.watch(connection).await?)
    }

    // A connection reserves memory for this future, and each `await` of a response would add its own. So there is one.
    async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Full<Bytes>> {
        let logged = || (request.method().clone(), request.uri().path().to_owned(), Instant::now());
        let logged = self.config.access_log.then(logged);
        let response = match self.config.refuse_other_sites && is_from_other_site(request.uri(), request.headers()) {
            true => Error::OtherSite.into_response(),
            false => (self.answer)(request).await,
        };
        if let Some((method, path, start)) = logged {
            let (status, duration) = (response.status().as_u16(), start.elapsed());
            info!(%client, %method, path, status, duration_ms = duration.as_micros() as f64 / 1e3, "request");
        }
        response
    }
}
