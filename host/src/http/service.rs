//! The service of the component's routes: it reads bodies, limits the requests in flight, and hands calls to the generation.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sac_owner::Address;
use tokio::sync::{Semaphore, watch};
use tower_service::Service;
use tracing::Instrument;

use crate::config::Config;
use crate::decisions::log::DecisionLog;
use crate::http::body::BodyReader;
use crate::http::error::Error;
use crate::http::form::Form;
use crate::http::found::{OwnPolicy, own};
use crate::http::memory::Memory;
use crate::http::route::Hosted;
use crate::http::stage::Stage;
use crate::observe::metrics::{Metrics, ModelState};
use crate::observe::trace;
use crate::policies::registry::Registry;
use crate::sandbox::factory::SetupError;
use crate::shadows::comparer::Comparer;
use crate::swap::dispatcher::Dispatcher;
use crate::swap::shared::Shared;
use crate::watch::tokens::Tokens;

/// The memory for the responses that clients have not read, apart from small ones.
const RESPONSE_BYTES: usize = 64 << 20;

/// Answers the routes of the component: `/sac/…`, and `/v2/…` of the Open Inference Protocol; with a root, also below
/// `/policies/NAME`. It is a [`tower::Service`](Service) over any body, and cheap to clone.
///
/// It never fails: an error is a response. Call it within a tokio runtime; requests run in parallel on a multi-threaded one.
/// Routes are matched by the whole path, so mount the service such that `/sac` remains in it, as axum's
/// `route_service("/sac/{*route}", …)` does.
#[derive(Clone)]
pub struct SacService {
    shared: Arc<Shared>,
    /// The policy of [`Config::source`], unless the default policy is one of the root or none.
    pub(super) own: Option<Arc<OwnPolicy>>,
    /// The policies of the root, if there is one.
    policies: Option<Arc<Registry>>,
    /// Lets shadows compute requests, if policies have any.
    pub(super) shadows: Option<Arc<Comparer>>,
    /// Records decisions, if the settings ask for it.
    pub(super) decision_log: Option<Arc<DecisionLog>>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) tokens: Tokens,
    pub(super) body_reader: Arc<BodyReader>,
    /// A permit is a request that waits for an instance, or runs.
    pub(super) in_flight: Arc<Semaphore>,
    pub(super) max_in_flight: usize,
    /// The memory that responses share until clients have read them.
    pub(super) responses: Memory,
    started_at: SystemTime,
    pub(super) stage: watch::Sender<Stage>,
}

impl SacService {
    /// Compiles the component, or maps the compiled artefact from the cache. Blocks. Reads no checkpoint yet, and needs none.
    ///
    /// # Errors
    ///
    /// Fails if the component does not compile, link or start.
    pub fn new(config: Config) -> Result<Self, SetupError> {
        let shared = Shared::new(&config)?;
        let own = own(&shared, &config)?;
        let policies = config.root.as_ref().map(|root| Registry::new(&shared, &config, root)).transpose()?;
        let shadows = config.shadow.as_ref().map(|shadow| Comparer::new(&config, shadow, shared.metrics()));
        let shadows = shadows.transpose().map_err(SetupError::Metrics)?;
        let decision_log = config.decision_log.as_ref().map(|log| DecisionLog::start(log, shared.metrics()));
        let decision_log = decision_log.transpose().map_err(SetupError::Start)?;
        let dispatcher = Arc::new(Dispatcher::new(&config));
        let body_reader = Arc::new(BodyReader::new(config.max_body_bytes, config.body_time));
        let max_in_flight = config.max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let in_flight = Arc::new(Semaphore::new(max_in_flight));
        let responses = Memory::new(RESPONSE_BYTES);
        let (started_at, stage) = (SystemTime::now(), watch::Sender::default());
        let tokens = config.tokens;
        Ok(SacService {
            shared,
            own,
            policies,
            shadows,
            decision_log,
            dispatcher,
            tokens,
            body_reader,
            in_flight,
            max_in_flight,
            responses,
            started_at,
            stage,
        })
    }

    /// Loads the checkpoint before the first request, and those of a root that is to be preloaded. A missing or refused
    /// checkpoint is no error here; the routes report it.
    pub async fn preload(&self) {
        if let Some(own) = &self.own {
            own.holder.current().await;
        }
        if let Some(policies) = &self.policies {
            policies.preload().await;
        }
    }

    /// Returns the length of a state of the default policy, once it is loaded; or `None` if there is none.
    pub async fn state_dim(&self) -> Option<u32> {
        let main = self.main(false).await.ok()?;
        let current = main.holder().current().await;
        current.generation.loaded.as_ref().map(|loaded| loaded.policy.state_dim)
    }

    /// Returns the number of checkpoints that were read and handed to the component, including refused ones, for all policies.
    pub fn loads(&self) -> u64 {
        self.shared.loads()
    }

    /// Checks the files as a request does, and returns all metrics in Prometheus's text format. It asks for no token.
    pub async fn metrics(&self) -> Result<String> {
        let of_root = || {
            self.policies.iter().for_each(|policies| policies.set_metrics());
            self.set_shadow_metrics();
        };
        let main = match self.main(true).await {
            Ok(main) => main,
            Err(Error::NoDefault) => return self.metrics_registry().text(None, of_root),
            // Where the default policy cannot be found, the other metrics remain.
            Err(_) => return self.metrics_registry().text(Some(&ModelState::default()), of_root),
        };
        let current = main.holder().current_soon().await;
        let unseen = Some(main.holder().unseen_for());
        let state = ModelState { unseen, ..current.generation.state(current.refusal.is_some()) };
        self.metrics_registry().text(Some(&state), of_root)
    }

    /// Answers one request.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
    {
        let Address { path, .. } = self.address(request.uri().path());
        let (in_flight, form) = (self.metrics_registry().request(path), Form::of(path));
        let span = trace::request(request.method(), in_flight.route(), request.headers());
        let hosted = Hosted::of(path);
        let received = async {
            let received = match hosted {
                None => self.receive(request).await,
                // Boxed, because otherwise the future of every request would be larger.
                Some(Hosted::Candidates) => Box::pin(self.candidates(request)).await,
                Some(Hosted::Stream) => Box::pin(self.stream(request)).await,
            };
            received.unwrap_or_else(|error| error.into_response(form))
        };
        let response = received.instrument(span.clone()).await;
        trace::finish(&span, response.status());
        in_flight.finish(response.status());
        response
    }

    /// Returns the policies of the root.
    pub(crate) fn policies(&self) -> Option<&Arc<Registry>> {
        self.policies.as_ref()
    }

    /// Returns the policy that a path is meant for, and the path as the component knows it.
    pub(crate) fn address<'a>(&self, path: &'a str) -> Address<'a> {
        match &self.policies {
            None => Address::plain(path),
            Some(policies) => policies.address(path),
        }
    }

    /// Returns the policy of [`Config::source`], if it is the default policy.
    pub(crate) fn own(&self) -> Option<&OwnPolicy> {
        self.own.as_deref()
    }

    pub(crate) fn shadows(&self) -> Option<&Arc<Comparer>> {
        self.shadows.as_ref()
    }

    pub(super) fn max_body_bytes(&self) -> usize {
        self.body_reader.max_bytes()
    }

    pub(super) fn body_time(&self) -> Duration {
        self.body_reader.time()
    }

    pub(super) fn max_in_flight(&self) -> usize {
        self.max_in_flight
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    pub(crate) fn metrics_registry(&self) -> &Metrics {
        self.shared.metrics()
    }

    pub(crate) fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Waits until the decisions so far are on record, for at most this time.
    pub(crate) async fn finish_decisions(&self, time: Duration) {
        if let Some(log) = &self.decision_log {
            log.flush(time).await;
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
