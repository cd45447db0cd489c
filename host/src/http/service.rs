//! The service of the `/sac/…` routes: it reads bodies, limits the requests in flight, and hands calls to the generation.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::SystemTime;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tokio::sync::{Semaphore, SemaphorePermit};
use tower_service::Service;
use tracing::Instrument;

use crate::config::Config;
use crate::http::body::{BodyError, BodyReader};
use crate::http::error::{Error, json};
use crate::http::memory::Memory;
use crate::http::peer::Peer;
use crate::observe::trace;
use crate::sandbox::bindings;
use crate::sandbox::factory::SetupError;
use crate::swap::call::Call;
use crate::swap::dispatcher::Dispatcher;
use crate::swap::holder::Holder;
use crate::watch::tokens::Tokens;

/// The memory for the responses that clients have not read, apart from small ones.
const RESPONSE_BYTES: usize = 64 << 20;

/// The route that is answered however many requests are in flight.
const HEALTH: &str = "/sac/health";

/// Answers the `/sac/…` routes. It is a [`tower::Service`](Service) over any body, and cheap to clone.
///
/// It never fails: an error is a response. Call it within a tokio runtime; requests run in parallel on a multi-threaded one.
/// Routes are matched by the whole path, so mount the service such that `/sac` remains in it, as axum's
/// `route_service("/sac/{*route}", …)` does.
#[derive(Clone)]
pub struct SacService {
    dispatcher: Arc<Dispatcher>,
    tokens: Tokens,
    body_reader: Arc<BodyReader>,
    /// A permit is a request that waits for an instance, or runs.
    in_flight: Arc<Semaphore>,
    max_in_flight: usize,
    /// The memory that responses share until clients have read them.
    responses: Memory,
    started_at: SystemTime,
    /// Set when a shutdown begins.
    stopping: Arc<AtomicBool>,
}

impl SacService {
    /// Compiles the component, or maps the compiled artefact from the cache. Blocks. Reads no checkpoint yet, and needs none.
    ///
    /// # Errors
    ///
    /// Fails if the component does not compile, link or start.
    pub fn new(config: Config) -> Result<Self, SetupError> {
        let dispatcher = Arc::new(Dispatcher::new(&config, Arc::new(Holder::new(&config)?)));
        let body_reader = Arc::new(BodyReader::new(config.max_body_bytes, config.body_time));
        let max_in_flight = config.max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let in_flight = Arc::new(Semaphore::new(max_in_flight));
        let responses = Memory::new(RESPONSE_BYTES);
        let (started_at, stopping) = (SystemTime::now(), Arc::default());
        let tokens = config.tokens;
        Ok(SacService { dispatcher, tokens, body_reader, in_flight, max_in_flight, responses, started_at, stopping })
    }

    /// Loads the checkpoint before the first request. A missing or refused checkpoint is no error here; the routes report it.
    pub async fn preload(&self) {
        self.holder().current().await;
    }

    /// Returns the number of checkpoints that were read and handed to the component, including refused ones.
    pub fn loads(&self) -> u64 {
        self.holder().loads()
    }

    /// Checks the files as a request does, and returns all metrics in Prometheus's text format. It asks for no token.
    pub async fn metrics(&self) -> Result<String> {
        let current = self.holder().current_soon().await;
        let state = current.generation.state(current.refusal.is_some());
        self.holder().metrics().text(&state, self.holder().unseen_for())
    }

    /// Answers one request.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
    {
        let in_flight = self.holder().metrics().request(request.uri().path());
        let span = trace::request(request.method(), in_flight.route(), request.headers());
        let received = async { self.receive(request).await.unwrap_or_else(Error::into_response) };
        let response = received.instrument(span.clone()).await;
        trace::finish(&span, response.status());
        in_flight.finish(response.status());
        response
    }

    pub(crate) fn holder(&self) -> &Holder {
        self.dispatcher.holder()
    }

    /// Lets health say from now on that this server stops.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Returns the component's response to `/sac/model/info`: 401 if the client is not authorised, and 503 or 500 if there
    /// is no model.
    pub(crate) async fn info(&self, headers: &HeaderMap) -> Result<bindings::Response, Error> {
        let (path, body) = ("/sac/model/info".to_owned(), Some(Bytes::new()));
        self.answer(Call { method: Method::GET, path, authorization: authorization(headers), body }, None, true).await
    }

    async fn receive<B>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, Error>
    where
        B: Body,
    {
        let (parts, body) = request.into_parts();
        let (body, _share) = match self.body_reader.read(&parts.headers, body).await {
            Ok((body, share)) => (Some(body), Some(share)),
            // The component answers 413, or any status that outranks it.
            Err(BodyError::OverLimit) => (None, None),
            Err(error) => return Err(error.into()),
        };
        let _permit = self.permit(parts.uri.path())?;
        let over_limit = body.is_none();
        let authorization = authorization(&parts.headers);
        let call = Call { method: parts.method, path: parts.uri.path().to_owned(), authorization, body };
        let is_health = call.path == HEALTH;
        if is_health && self.is_stopping() {
            return Ok(self.stopping_health());
        }
        let mut response = self.convert(self.answer(call, parts.extensions.get(), is_health).await?)?;
        if over_limit {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// Converts a response of the component.
    pub(crate) fn convert(&self, answer: bindings::Response) -> Result<Response<Full<Bytes>>, Error> {
        let body = self.responses.hold(answer.body).ok_or(Error::Unread)?;
        response(answer.status, &answer.headers, body)
    }

    /// The response to health after a shutdown began.
    fn stopping_health(&self) -> Response<Full<Bytes>> {
        let model_loaded = self.holder().latest().generation.loaded.is_some();
        let body = serde_json::json!({ "status": "stopping", "model_loaded": model_loaded });
        json(StatusCode::SERVICE_UNAVAILABLE, body.to_string().into())
    }

    /// Returns a permit to run, or `None` for a request that needs none.
    fn permit(&self, path: &str) -> Result<Option<SemaphorePermit<'_>>, Error> {
        match self.in_flight.try_acquire() {
            Ok(permit) => Ok(Some(permit)),
            Err(_) if path == HEALTH => Ok(None),
            Err(_) => Err(Error::TooManyRequests(self.max_in_flight)),
        }
    }

    /// Answers a call by the generation in service. With `soon`, waits for the files within limits even if there is no policy.
    async fn answer(&self, call: Call, peer: Option<&Peer>, soon: bool) -> Result<bindings::Response, Error> {
        let tokens = self.tokens.current().await;
        let current = if soon { self.holder().current_soon().await } else { self.holder().current().await };
        let gone = async {
            match peer {
                Some(peer) => peer.gone().await,
                None => pending().await,
            }
        };
        Ok(self.dispatcher.answer(Arc::new(call), tokens, &current, gone).await?)
    }
}

impl<B> Service<Request<B>> for SacService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.respond(request).await) })
    }
}

/// The headers that a response of the component may have. All others are the host's, above all those that frame the body.
const COMPONENT_HEADERS: [HeaderName; 3] = [ALLOW, RETRY_AFTER, WWW_AUTHENTICATE];

/// Makes the response of a component. It may break the contract, but neither the connection nor another response.
fn response(status: u16, headers: &[(String, String)], body: Bytes) -> Result<Response<Full<Bytes>>, Error> {
    let broken = |what: String| Error::Internal(anyhow!("the component's response has {what}"));
    let known = StatusCode::from_u16(status).ok().filter(|status| has_body(*status));
    let status = known.ok_or_else(|| broken(format!("the status {status}")))?;
    let mut response = json(status, body);
    for (name, value) in headers {
        let name = COMPONENT_HEADERS.into_iter().find(|known| known == name.as_str());
        let name = name.ok_or_else(|| broken("a header that is the host's".to_owned()))?;
        let value = HeaderValue::from_str(value).map_err(|_| broken(format!("no value for {name}")))?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// Returns `true` for the statuses of final responses with a body.
fn has_body(status: StatusCode) -> bool {
    let without = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
    (200..600).contains(&status.as_u16()) && !without.contains(&status)
}

fn authorization(headers: &HeaderMap) -> Option<String> {
    headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
