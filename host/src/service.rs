use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Result, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;
use tracing::error;

use crate::bindings::{self, Outcome};
use crate::body::{Received, receive};
use crate::config::Config;
use crate::generation::{Call, Recipe, Standing};
use crate::holder::Holder;

/// Answers the /sac/* routes: a [`tower::Service`](Service) over any body, to be mounted into a server, cloned at will.
///
/// It never fails: whatever happens is a response. Call it within a tokio runtime; a multi-threaded one lets requests
/// run in parallel. Routes are told by the whole path: mount it so that `/sac` stays part of it, as axum's
/// `route_service("/sac/{*route}", …)` does.
#[derive(Clone)]
pub struct SacService {
    holder: Arc<Holder>,
    tokens: Arc<[String]>,
    max_body_bytes: usize,
}

impl SacService {
    /// Compiles the component, or maps it where it was compiled before. Blocks. No checkpoint is read yet, and none
    /// needs to be there.
    pub fn new(config: Config) -> Result<Self> {
        let recipe = Recipe::new(&config)?;
        let holder = Holder::new(config.source, recipe, config.reload_wait)?;
        Ok(SacService { holder, tokens: config.tokens.into(), max_body_bytes: config.max_body_bytes })
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

    /// Answers one request.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
    {
        let (parts, body) = request.into_parts();
        let body = match receive(&parts.headers, body, self.max_body_bytes).await {
            Received::Complete(body) => Some(body),
            Received::OverLimit => None,
            Received::Broken => return failure(StatusCode::BAD_REQUEST, "the request body could not be read"),
        };
        let over_limit = body.is_none();
        let authorization = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let call = Call { method: parts.method, path: parts.uri.path().to_owned(), authorization, body };
        let mut response = self.answer(call).await.unwrap_or_else(|error| {
            error!("request failed: {error:#}");
            failure(StatusCode::INTERNAL_SERVER_ERROR, "the policy's sandbox failed and was replaced")
        });
        if over_limit {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn answer(&self, call: Call) -> Result<Response<Full<Bytes>>> {
        let call = Arc::new(call);
        let standing = |refusal, reloaded| Arc::new(Standing { tokens: self.tokens.clone(), refusal, reloaded });
        let current = self.holder.current().await;
        match current.generation.answer(&call, &standing(current.refusal, None)).await? {
            Outcome::Respond(response) => return response_of(response),
            Outcome::Long | Outcome::Benchmark => bail!("the component answered `long` where it may block"),
            Outcome::Reload => {}
        }
        let reloaded = self.holder.force_reload().await;
        let current = self.holder.published();
        match current.generation.answer(&call, &standing(current.refusal, Some(reloaded))).await? {
            Outcome::Respond(response) => response_of(response),
            _ => bail!("the component did not answer after a reload"),
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

/// An error of the server itself, in the words of the contract.
pub(crate) fn failure(status: StatusCode, detail: &str) -> Response<Full<Bytes>> {
    json(status, serde_json::json!({ "detail": detail }).to_string().into())
}

pub(crate) fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn response_of(answer: bindings::Response) -> Result<Response<Full<Bytes>>> {
    let mut response = json(StatusCode::from_u16(answer.status)?, answer.body.into());
    for (name, value) in &answer.headers {
        response.headers_mut().insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
    }
    Ok(response)
}
