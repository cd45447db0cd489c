use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, info, warn};

use crate::service::{SacService, failure, json};

/// How long requests in flight may take to finish once a shutdown has begun.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Serves HTTP/1.1 until `shutdown` resolves, then lets the requests in flight finish. The checkpoint is loaded
/// meanwhile: nothing waits for it but the requests that need it.
pub async fn serve(listener: TcpListener, service: SacService, shutdown: impl Future<Output = ()>) {
    let preload = service.clone();
    tokio::spawn(async move { preload.preload().await });
    let connections = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => serve_connection(stream, &service, &connections),
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
    if tokio::time::timeout(DRAIN_TIME, connections.shutdown()).await.is_err() {
        warn!("requests still in flight after {} s are cut off", DRAIN_TIME.as_secs());
    }
}

fn serve_connection(stream: TcpStream, service: &SacService, connections: &GracefulShutdown) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!("TCP_NODELAY: {error}");
    }
    let service = service.clone();
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(route(&service, request).await) }
    });
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!("connection: {error}");
        }
    });
}

async fn route(service: &SacService, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/healthz" => liveness(request.method()),
        "/sac" => failure(StatusCode::NOT_FOUND, "Not Found"),
        path if path.starts_with("/sac/") => service.respond(request).await,
        _ => failure(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// That the process answers, whatever becomes of the model.
fn liveness(method: &Method) -> Response<Full<Bytes>> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return json(StatusCode::OK, Bytes::from_static(br#"{"status":"ok"}"#));
    }
    let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}
