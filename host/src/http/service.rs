//! The service of the component's routes: it reads bodies, limits the requests in flight, and hands calls to the generation.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::SystemTime;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tokio::sync::{Semaphore, SemaphorePermit};
use tower_service::Service;
use tracing::Instrument;

use crate::config::Config;
use crate::http::body::{BodyError, BodyReader};
use crate::http::error::{Error, Form, json};
use crate::http::memory::Memory;
use crate::http::peer::Peer;
use crate::http::route::Health;
use crate::observe::metrics::Metrics;
use crate::observe::trace;
use crate::sandbox::bindings;
use crate::sandbox::factory::SetupError;
use crate::swap::call::Call;
use crate::swap::dispatcher::Dispatcher;
use crate::swap::holder::Holder;
use crate::swap::publisher::Own;
use crate::swap::shared::Shared;
use crate::watch::tokens::Tokens;

/// The memory for the responses that clients have not read, apart from small ones.
const RESPONSE_BYTES: usize = 64 << 20;

/// Answers the routes of the component: `/sac/…`, and `/v2/…` of the Open Inference Protocol. It is a [`tower::Service`](Service) over any body, and cheap to clone.
///
/// It never fails: an error is a response. Call it within a tokio runtime; requests run in parallel on a multi-threaded one.
/// Routes are matched by the whole path, so mount the service such that `/sac` remains in it, as axum's
/// `route_service("/sac/{*route}", …)` does.
#[derive(Clone)]
pub struct SacService {
    shared: Arc<Shared>,
    holder: Arc<Holder>,
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
        let shared = Shared::new(&config)?;
        let holder = Arc::new(holder(&shared, &config));
        // A component that does not start is an error here, and not that of a request.
        holder.start().map_err(SetupError::Start)?;
        let dispatcher = Arc::new(Dispatcher::new(&config));
        let body_reader = Arc::new(BodyReader::new(config.max_body_bytes, config.body_time));
        let max_in_flight = config.max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let in_flight = Arc::new(Semaphore::new(max_in_flight));
        let responses = Memory::new(RESPONSE_BYTES);
        let (started_at, stopping) = (SystemTime::now(), Arc::default());
        let tokens = config.tokens;
        Ok(SacService {
            shared,
            holder,
            dispatcher,
            tokens,
            body_reader,
            in_flight,
            max_in_flight,
            responses,
            started_at,
            stopping,
        })
    }

    /// Loads the checkpoint before the first request. A missing or refused checkpoint is no error here; the routes report it.
    pub async fn preload(&self) {
        self.holder().current().await;
    }

    /// Returns the number of checkpoints that were read and handed to the component, including refused ones.
    pub fn loads(&self) -> u64 {
        self.shared.loads()
    }

    /// Checks the files as a request does, and returns all metrics in Prometheus's text format. It asks for no token.
    pub async fn metrics(&self) -> Result<String> {
        let current = self.holder().current_soon().await;
        let state = current.generation.state(current.refusal.is_some());
        self.metrics_registry().text(&state, self.holder().unseen_for())
    }

    /// Answers one request.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
    {
        let path = request.uri().path();
        let (in_flight, form) = (self.metrics_registry().request(path), Form::of(path));
        let span = trace::request(request.method(), in_flight.route(), request.headers());
        let received = async { self.receive(request).await.unwrap_or_else(|error| error.into_response(form)) };
        let response = received.instrument(span.clone()).await;
        trace::finish(&span, response.status());
        in_flight.finish(response.status());
        response
    }

    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    pub(crate) fn metrics_registry(&self) -> &Metrics {
        self.shared.metrics()
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
        let call = Call {
            method: Method::GET,
            path: "/sac/model/info".to_owned(),
            authorization: text(headers, &AUTHORIZATION),
            inference_header: None,
            body: Some(Bytes::new()),
        };
        self.answer(call, None, true).await
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
        let health = Health::of(parts.uri.path());
        let _permit = self.permit(health)?;
        let over_limit = body.is_none();
        if let Some(response) = health.filter(|_| self.is_stopping()).and_then(|health| self.stopping(health)) {
            return Ok(response);
        }
        let call = Call {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            authorization: text(&parts.headers, &AUTHORIZATION),
            inference_header: text(&parts.headers, &INFERENCE_HEADER),
            body,
        };
        let mut response = self.convert(self.answer(call, parts.extensions.get(), health.is_some()).await?)?;
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

    /// Returns the response to a health route after a shutdown began, if it is another one then.
    fn stopping(&self, health: Health) -> Option<Response<Full<Bytes>>> {
        let body = match health {
            Health::Live => return None,
            Health::Ready => serde_json::json!({ "ready": false }),
            Health::Sac => {
                let model_loaded = self.holder().latest().generation.loaded.is_some();
                serde_json::json!({ "status": "stopping", "model_loaded": model_loaded })
            }
        };
        Some(json(StatusCode::SERVICE_UNAVAILABLE, body.to_string().into()))
    }

    /// Returns a permit to run, or `None` for a request that needs none.
    fn permit(&self, health: Option<Health>) -> Result<Option<SemaphorePermit<'_>>, Error> {
        match self.in_flight.try_acquire() {
            Ok(permit) => Ok(Some(permit)),
            Err(_) if health.is_some() => Ok(None),
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
        Ok(self.dispatcher.answer(&self.holder, Arc::new(call), tokens, &current, gone).await?)
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

/// Makes the holder of the policy of [`Config::source`].
fn holder(shared: &Arc<Shared>, config: &Config) -> Holder {
    let (factory, sizes) = (shared.factory().clone(), shared.all_workers());
    Holder::new(shared, Own { source: config.source.clone(), factory, sizes, bounds: None, number: 0 })
}

/// The headers that a response of the component may have. All others are the host's, above all those that frame the body.
const COMPONENT_HEADERS: [HeaderName; 5] = [ALLOW, CONTENT_TYPE, INFERENCE_HEADER, RETRY_AFTER, WWW_AUTHENTICATE];

/// The types that a response of the component may have. A browser runs neither as a page.
const CONTENT_TYPES: [&str; 2] = ["application/json", "application/octet-stream"];

/// The length of the JSON that binary tensors follow, in a request and in a response.
const INFERENCE_HEADER: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Makes the response of a component. It may break the contract, but neither the connection nor another response.
fn response(status: u16, headers: &[(String, String)], body: Bytes) -> Result<Response<Full<Bytes>>, Error> {
    let broken = |what: String| Error::Internal(anyhow!("the component's response has {what}"));
    let known = StatusCode::from_u16(status).ok().filter(|status| has_body(*status));
    let status = known.ok_or_else(|| broken(format!("the status {status}")))?;
    let mut response = json(status, body);
    for (name, value) in headers {
        let name = COMPONENT_HEADERS.into_iter().find(|known| known == name.as_str());
        let name = name.ok_or_else(|| broken("a header that is the host's".to_owned()))?;
        if name == CONTENT_TYPE && !CONTENT_TYPES.contains(&value.as_str()) {
            return Err(broken("another content type".to_owned()));
        }
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

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
