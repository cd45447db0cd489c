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

use crate::http::config::Edge;
use crate::http::error::Failure;
use crate::http::origin::is_another_sites;
use crate::http::router::Site;

/// How much of a connection is buffered, of heads and of parts of bodies.
const BUFFER_BYTES: usize = 64 << 10;

/// What a connection beyond the limit is told, if it is one without TLS.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    content-length: 33\r\nretry-after: 1\r\nconnection: close\r\n\r\n{\"detail\":\"too many connections\"}";

/// Serves HTTP/1.1 until `shutdown` resolves, then lets the requests in flight finish. The checkpoint is loaded
/// meanwhile: nothing waits for it but the requests that need it.
pub async fn serve(listener: TcpListener, site: impl Into<Site>, edge: Edge, shutdown: impl Future<Output = ()>) {
    let site = site.into();
    let preload = site.service().clone();
    tokio::spawn(async move { preload.preload().await });
    let drain_time = edge.drain_time;
    let places = Arc::new(Semaphore::new(edge.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let door = Arc::new(Door { site, edge });
    let connections = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => admit(stream, client, &places, &door, connections.watcher()),
                Err(error) => {
                    // Most often the limit of open files: a moment lets connections end.
                    warn!("a connection could not be accepted: {error}");
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

/// What all connections come to.
struct Door {
    site: Site,
    edge: Edge,
}

fn admit(stream: TcpStream, client: SocketAddr, places: &Arc<Semaphore>, door: &Arc<Door>, watcher: Watcher) {
    match places.clone().try_acquire_owned() {
        Ok(place) => {
            let door = door.clone();
            tokio::spawn(async move {
                if let Err(error) = door.serve_connection(stream, client, watcher, place).await {
                    debug!("connection: {error:#}");
                }
            });
        }
        Err(_) if door.edge.tls.is_none() => {
            // A fresh connection has room for it, and where not there is nobody to tell.
            let _ = stream.try_write(TOO_MANY_CONNECTIONS);
            // What was sent already and is not read would make the kernel take the answer back.
            let _ = stream.try_read(&mut [0; 4096]);
        }
        Err(_) => {}
    }
}

impl Door {
    async fn serve_connection(
        self: Arc<Self>,
        stream: TcpStream,
        client: SocketAddr,
        watcher: Watcher,
        _place: OwnedSemaphorePermit,
    ) -> Result<()> {
        stream.set_nodelay(true)?;
        let _connected = self.site.service().holder().metrics().connected();
        match &self.edge.tls {
            None => self.serve_requests(stream, client, watcher).await,
            Some(tls) => {
                let handshake = tls.acceptor().accept(stream);
                let stream = timeout(self.edge.idle_time, handshake).await??;
                self.serve_requests(stream, client, watcher).await
            }
        }
    }

    async fn serve_requests<S>(self: Arc<Self>, stream: S, client: SocketAddr, watcher: Watcher) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let mut stream = TimeoutStream::new(stream);
        // Reading has its own limits; while an answer is made, nothing is to be read.
        stream.set_write_timeout(Some(self.edge.idle_time));
        let edge = &self.edge;
        let door = self.clone();
        let answer = service_fn(move |request| {
            let door = door.clone();
            async move { Ok::<_, Infallible>(door.answer(request, client).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(edge.idle_time)
            .max_header_size(edge.max_head_bytes)
            .max_buf_size(BUFFER_BYTES.max(edge.max_head_bytes))
            // Who has sent all that it has to say may still listen.
            .half_close(true)
            .serve_connection(TokioIo::new(Box::pin(stream)), answer);
        Ok(watcher.watch(connection).await?)
    }

    // One place that awaits: a connection holds room for this future, and each place would take its own.
    async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Full<Bytes>> {
        let logged = || (request.method().clone(), request.uri().path().to_owned(), Instant::now());
        let logged = self.edge.access_log.then(logged);
        let response = match self.edge.refuse_other_sites && is_another_sites(request.uri(), request.headers()) {
            true => Failure::OtherSite.told(),
            false => self.site.respond(request).await,
        };
        if let Some((method, path, start)) = logged {
            let (status, duration) = (response.status().as_u16(), start.elapsed());
            info!(%client, %method, path, status, duration_ms = duration.as_micros() as f64 / 1e3, "request");
        }
        response
    }
}
