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
use crate::http::body::{Intake, Received};
use crate::http::error::{Failure, json};
use crate::observe::trace;
use crate::sandbox::bindings::{self, Outcome};
use crate::swap::generation::{Call, Recipe, Standing};
use crate::swap::holder::Holder;
use crate::watch::tokens::Tokens;

/// The route that is answered however many requests are in flight.
const HEALTH: &str = "/sac/health";

/// Answers the /sac/* routes: a [`tower::Service`](Service) over any body, to be mounted into a server, cloned at will.
///
/// It never fails: whatever happens is a response. Call it within a tokio runtime; a multi-threaded one lets requests
/// run in parallel. Routes are told by the whole path: mount it so that `/sac` stays part of it, as axum's
/// `route_service("/sac/{*route}", …)` does.
#[derive(Clone)]
pub struct SacService {
    holder: Arc<Holder>,
    tokens: Tokens,
    intake: Arc<Intake>,
    /// A permit is a request that waits for an instance, or runs.
    turns: Arc<Semaphore>,
    max_in_flight: usize,
    started_at: SystemTime,
}

impl SacService {
    /// Compiles the component, or maps it where it was compiled before. Blocks. No checkpoint is read yet, and none
    /// needs to be there.
    pub fn new(config: Config) -> Result<Self> {
        let recipe = Recipe::new(&config)?;
        let holder = Holder::new(config.source, recipe, config.reload_wait)?;
        let intake = Arc::new(Intake::new(config.max_body_bytes, config.body_time));
        let max_in_flight = config.max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let turns = Arc::new(Semaphore::new(max_in_flight));
        let started_at = SystemTime::now();
        Ok(SacService { holder, tokens: config.tokens, intake, turns, max_in_flight, started_at })
    }

    /// Loads the checkpoint ahead of the first request. There may be none, and it may be broken: that is not an error
    /// here, the routes tell.
    pub async fn preload(&self) {
        self.holder.current().await;
    }

    /// The generation in service: how many checkpoints were put into service so far.
    pub fn generation(&self) -> u64 {
        self.holder.generation()
    }

    /// How many times a checkpoint was read and handed to the component, whether it was taken or refused.
    pub fn loads(&self) -> u64 {
        self.holder.loads()
    }

    /// What was counted so far, in Prometheus's text; of the files as they are now. Whoever may ask, may know.
    pub async fn metrics(&self) -> Result<String> {
        self.holder.metrics().text(&self.holder.current().await)
    }

    /// Answers one request.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
    {
        let watched = self.holder.metrics().watch(request.uri().path());
        let span = trace::request(request.method(), watched.route(), request.headers());
        let received = async { self.receive(request).await.unwrap_or_else(Failure::told) };
        let response = received.instrument(span.clone()).await;
        trace::answered(&span, response.status());
        watched.answered(response.status());
        response
    }

    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    pub(crate) fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// The component's word on what is in service: 401 where the client may not know, and 503 or 500 where there is
    /// nothing to know.
    pub(crate) async fn info(&self, headers: &HeaderMap) -> Result<bindings::Response, Failure> {
        let (path, body) = ("/sac/model/info".to_owned(), Some(Bytes::new()));
        self.answer(Call { method: Method::GET, path, authorization: authorization(headers), body }).await
    }

    async fn receive<B>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, Failure>
    where
        B: Body,
    {
        let (parts, body) = request.into_parts();
        let (body, _room) = match self.intake.receive(&parts.headers, body).await {
            Received::Complete(body, room) => (Some(body), Some(room)),
            Received::OverLimit => (None, None),
            Received::Broken => return Err(Failure::BodyBroken),
            Received::Late(time) => return Err(Failure::BodyLate(time)),
            Received::NoRoom => return Err(Failure::NoRoom),
        };
        let _turn = self.turn(parts.uri.path())?;
        let over_limit = body.is_none();
        let authorization = authorization(&parts.headers);
        let call = Call { method: parts.method, path: parts.uri.path().to_owned(), authorization, body };
        let mut response = response_of(self.answer(call).await?)?;
        if over_limit {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// None for a request that needs none.
    fn turn(&self, path: &str) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        match self.turns.try_acquire() {
            Ok(turn) => Ok(Some(turn)),
            Err(_) if path == HEALTH => Ok(None),
            Err(_) => Err(Failure::TooMany(self.max_in_flight)),
        }
    }

    async fn answer(&self, call: Call) -> Result<bindings::Response, Failure> {
        let call = Arc::new(call);
        let tokens = self.tokens.current();
        let standing = |refusal, reloaded| Arc::new(Standing { tokens: tokens.clone(), refusal, reloaded });
        let current = self.holder.current().await;
        match current.generation.answer(&call, &standing(current.refusal, None)).await? {
            Outcome::Respond(response) => return Ok(response),
            Outcome::Long | Outcome::Benchmark => {
                return Err(Failure::Internal(anyhow!("the component answered `long` where it may block")));
            }
            Outcome::Reload => {}
        }
        let reloaded = self.holder.force_reload().await;
        let current = self.holder.published();
        match current.generation.answer(&call, &standing(current.refusal, Some(reloaded))).await? {
            Outcome::Respond(response) => Ok(response),
            _ => Err(Failure::Internal(anyhow!("the component did not answer after a reload"))),
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

fn authorization(headers: &HeaderMap) -> Option<String> {
    headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

pub(crate) fn response_of(answer: bindings::Response) -> Result<Response<Full<Bytes>>, Failure> {
    let internal = |error: http::Error| Failure::Internal(error.into());
    let status = StatusCode::from_u16(answer.status).map_err(|error| internal(error.into()))?;
    let mut response = json(status, answer.body.into());
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| internal(error.into()))?;
        let value = HeaderValue::from_str(value).map_err(|error| internal(error.into()))?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}
