//! The service of the `/sac/…` routes: it reads bodies, limits the requests in flight, and hands calls to the generation.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tokio::sync::{Semaphore, SemaphorePermit};
use tower_service::Service;
use tracing::Instrument;

use crate::config::Config;
use crate::http::body::{BodyError, BodyReader};
use crate::http::error::{Error, json};
use crate::observe::trace;
use crate::sandbox::bindings::{self, Outcome};
use crate::sandbox::factory::SetupError;
use crate::swap::call::{Call, RequestContext};
use crate::swap::holder::{Holder, Snapshot};
use crate::watch::tokens::Tokens;

/// The route that is answered however many requests are in flight.
const HEALTH: &str = "/sac/health";

/// Answers the `/sac/…` routes. It is a [`tower::Service`](Service) over any body, and cheap to clone.
///
/// It never fails: an error is a response. Call it within a tokio runtime; requests run in parallel on a multi-threaded one.
/// Routes are matched by the whole path, so mount the service such that `/sac` remains in it, as axum's
/// `route_service("/sac/{*route}", …)` does.
#[derive(Clone)]
pub struct SacService {
    holder: Arc<Holder>,
    tokens: Tokens,
    body_reader: Arc<BodyReader>,
    /// A permit is a request that waits for an instance, or runs.
    in_flight: Arc<Semaphore>,
    max_in_flight: usize,
    started_at: SystemTime,
}

impl SacService {
    /// Compiles the component, or maps the compiled artefact from the cache. Blocks. Reads no checkpoint yet, and needs none.
    ///
    /// # Errors
    ///
    /// Fails if the component does not compile, link or start.
    pub fn new(config: Config) -> Result<Self, SetupError> {
        let holder = Holder::new(&config)?;
        let body_reader = Arc::new(BodyReader::new(config.max_body_bytes, config.body_time));
        let max_in_flight = config.max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let in_flight = Arc::new(Semaphore::new(max_in_flight));
        let started_at = SystemTime::now();
        Ok(SacService { holder, tokens: config.tokens, body_reader, in_flight, max_in_flight, started_at })
    }

    /// Loads the checkpoint before the first request. A missing or refused checkpoint is no error here; the routes report it.
    pub async fn preload(&self) {
        self.holder.current().await;
    }

    /// Returns the number of checkpoints that were read and handed to the component, including refused ones.
    pub fn loads(&self) -> u64 {
        self.holder.loads()
    }

    /// Checks the files as a request does, and returns all metrics in Prometheus's text format. It asks for no token.
    pub async fn metrics(&self) -> Result<String> {
        let current = self.holder.current().await;
        self.holder.metrics().text(&current.generation.state(current.refusal.is_some()))
    }

    /// Answers one request.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
    {
        let in_flight = self.holder.metrics().request(request.uri().path());
        let span = trace::request(request.method(), in_flight.route(), request.headers());
        let received = async { self.receive(request).await.unwrap_or_else(Error::into_response) };
        let response = received.instrument(span.clone()).await;
        trace::finish(&span, response.status());
        in_flight.finish(response.status());
        response
    }

    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    pub(crate) fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Returns the component's response to `/sac/model/info`: 401 if the client is not authorised, and 503 or 500 if there
    /// is no model.
    pub(crate) async fn info(&self, headers: &HeaderMap) -> Result<bindings::Response, Error> {
        let (path, body) = ("/sac/model/info".to_owned(), Some(Bytes::new()));
        self.answer(Call { method: Method::GET, path, authorization: authorization(headers), body }).await
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
        let mut response = into_response(self.answer(call).await?)?;
        if over_limit {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// Returns a permit to run, or `None` for a request that needs none.
    fn permit(&self, path: &str) -> Result<Option<SemaphorePermit<'_>>, Error> {
        match self.in_flight.try_acquire() {
            Ok(permit) => Ok(Some(permit)),
            Err(_) if path == HEALTH => Ok(None),
            Err(_) => Err(Error::TooManyRequests(self.max_in_flight)),
        }
    }

    /// Hands a call to the generation in service. If the component asks for a reload, reloads and hands the call over again.
    async fn answer(&self, call: Call) -> Result<bindings::Response, Error> {
        let call = Arc::new(call);
        let tokens = self.tokens.current();
        let context = |snapshot: &Snapshot, reloaded| {
            let Snapshot { refusal, absence, .. } = snapshot.clone();
            Arc::new(RequestContext { tokens: tokens.clone(), refusal, absence, reloaded })
        };
        let current = self.holder.current().await;
        match current.generation.answer(&call, &context(&current, None)).await? {
            Outcome::Respond(response) => return Ok(response),
            Outcome::Long | Outcome::Benchmark => {
                return Err(Error::Internal(anyhow!("the component answered `long` to a call that may block")));
            }
            Outcome::Reload => {}
        }
        let reloaded = self.holder.force_reload().await;
        let current = self.holder.snapshot();
        match current.generation.answer(&call, &context(&current, Some(reloaded))).await? {
            Outcome::Respond(response) => Ok(response),
            _ => Err(Error::Internal(anyhow!("the component did not answer after a reload"))),
        }
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

/// Converts a response of the component.
pub(crate) fn into_response(answer: bindings::Response) -> Result<Response<Full<Bytes>>, Error> {
    let internal = |error: http::Error| Error::Internal(error.into());
    let status = StatusCode::from_u16(answer.status).map_err(|error| internal(error.into()))?;
    let mut response = json(status, answer.body.into());
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| internal(error.into()))?;
        let value = HeaderValue::from_str(value).map_err(|error| internal(error.into()))?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

fn authorization(headers: &HeaderMap) -> Option<String> {
    headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
