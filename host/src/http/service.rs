//! The service of the component's routes: it reads bodies, limits the requests in flight, and hands calls to the generation.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use sac_owner::Address;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tower_service::Service;
use tracing::Instrument;

use crate::config::Config;
use crate::decisions::log::DecisionLog;
use crate::http::body::{BodyError, BodyReader};
use crate::http::error::{Error, Form};
use crate::http::found::{Admitted, Found, OwnPolicy, own};
use crate::http::memory::Memory;
use crate::http::peer::Peer;
use crate::http::response::{INFERENCE_HEADER, response};
use crate::http::route::{Health, Hosted};
use crate::observe::metrics::{Metrics, ModelState};
use crate::observe::trace;
use crate::policies::registry::Registry;
use crate::sandbox::bindings::{self, Decision};
use crate::sandbox::factory::SetupError;
use crate::shadows::comparer::Comparer;
use crate::swap::call::{Answer, Call};
use crate::swap::dispatcher::Dispatcher;
use crate::swap::generation::Generation;
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
    own: Option<Arc<OwnPolicy>>,
    /// The policies of the root, if there is one.
    policies: Option<Arc<Registry>>,
    /// Lets shadows compute requests, if policies have any.
    shadows: Option<Arc<Comparer>>,
    /// Records decisions, if the settings ask for it.
    decision_log: Option<Arc<DecisionLog>>,
    dispatcher: Arc<Dispatcher>,
    tokens: Tokens,
    body_reader: Arc<BodyReader>,
    /// A permit is a request that waits for an instance, or runs.
    in_flight: Arc<Semaphore>,
    max_in_flight: usize,
    /// The memory that responses share until clients have read them.
    responses: Memory,
    started_at: SystemTime,
    /// True when a shutdown begins.
    stopping: watch::Sender<bool>,
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
        let (started_at, stopping) = (SystemTime::now(), watch::Sender::default());
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
            stopping,
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

    pub(super) fn max_in_flight(&self) -> usize {
        self.max_in_flight
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    pub(crate) fn metrics_registry(&self) -> &Metrics {
        self.shared.metrics()
    }

    /// Lets health say from now on that this server stops.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Returns when a shutdown begins.
    pub(super) async fn stopped(&self) {
        // This service keeps the sender.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    pub(crate) fn started_at(&self) -> SystemTime {
        self.started_at
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
        let address = self.address(parts.uri.path());
        let _permit = self.permit(Health::of(address.path))?;
        let over_limit = body.is_none();
        let call = self.call(parts.method, address.path, &parts.headers, body);
        Ok(closing(self.answered(address.policy, call, parts.extensions.get()).await?, over_limit))
    }

    /// Answers a call by the policy that it is meant for. `None` is the default policy.
    async fn answered(
        &self,
        policy: Option<&str>,
        call: Call,
        peer: Option<&Peer>,
    ) -> Result<Response<Full<Bytes>>, Error> {
        let health = Health::of(&call.path);
        if let Some(health) = health.filter(|health| policy.is_none() && health.is_of_server())
            && let Some(policies) = self.without_default()
        {
            return Box::pin(self.health_of_root(policies, health, &call)).await;
        }
        let found = match (&self.own, policy) {
            (Some(own), None) => Found::Own(own),
            // Boxed, because otherwise the future of every request would be larger.
            (_, name) => match Box::pin(self.admit(name, &call, health.is_some())).await? {
                Admitted::Policy(found) => found,
                Admitted::Refused(answer) => return self.convert(answer),
            },
        };
        if let Some(response) = health.and_then(|health| self.while_stopping(health, found.holder().has_policy())) {
            return Ok(response);
        }
        if self.is_promotion(&call)? {
            return Box::pin(self.promote(&found, &call, peer)).await;
        }
        let answer = self.answer(&found, call, peer, health.is_some()).await;
        let answer = answer.and_then(|answer| self.convert(answer));
        if let Found::Policy(policy) = &found {
            policy.count(answer.as_ref().map_or_else(Error::status, Response::status));
        }
        answer
    }

    fn call(&self, method: Method, path: &str, headers: &HeaderMap, body: Option<Bytes>) -> Call {
        let is_sampled = self.shadows.as_ref().is_some_and(|shadows| shadows.choose());
        Call {
            method,
            path: path.to_owned(),
            authorization: text(headers, &AUTHORIZATION),
            inference_header: text(headers, &INFERENCE_HEADER),
            body,
            wants_decision: is_sampled || self.decision_log.is_some(),
            is_sampled,
        }
    }

    /// Converts a response of the component.
    pub(crate) fn convert(&self, answer: bindings::Response) -> Result<Response<Full<Bytes>>, Error> {
        let body = self.responses.hold(answer.body).ok_or(Error::Unread)?;
        response(answer.status, &answer.headers, body)
    }

    /// Returns a permit to run, or `None` for a request that needs none.
    fn permit(&self, health: Option<Health>) -> Result<Option<SemaphorePermit<'_>>, Error> {
        match self.in_flight.try_acquire() {
            Ok(permit) => Ok(Some(permit)),
            Err(_) if health.is_some() => Ok(None),
            Err(_) => Err(Error::TooManyRequests(self.max_in_flight)),
        }
    }

    /// Passes a decision to the log and to the shadow, and waits for neither.
    fn decided(&self, found: &Found<'_>, generation: &Generation, decision: Decision, is_sampled: bool) {
        if let Some(log) = &self.decision_log {
            let recorded =
                if is_sampled { decision.clone() } else { return log.record(found.name(), generation, decision) };
            log.record(found.name(), generation, recorded);
        }
        self.shadow_decision(found, generation, decision);
    }

    /// Waits until the decisions so far are on record, for at most this time.
    pub(crate) async fn finish_decisions(&self, time: Duration) {
        if let Some(log) = &self.decision_log {
            log.flush(time).await;
        }
    }

    /// Answers a call by the generation in service. With `soon`, waits for the files within limits even if there is no policy.
    pub(super) async fn answer(
        &self,
        found: &Found<'_>,
        call: Call,
        peer: Option<&Peer>,
        soon: bool,
    ) -> Result<bindings::Response, Error> {
        let tokens = self.tokens.current(found.name()).await;
        let holder = found.holder();
        let current = if soon { holder.current_soon().await } else { holder.current().await };
        let gone = async {
            match peer {
                Some(peer) => peer.gone().await,
                None => pending().await,
            }
        };
        let is_sampled = call.is_sampled;
        let answer = self.dispatcher.answer(holder, Arc::new(call), tokens, &current, gone).await?;
        let Answer { mut response, generation } = answer;
        if let Some(decision) = response.decision.take() {
            self.decided(found, &generation, decision, is_sampled);
        }
        Ok(response)
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

/// Lets a response end its connection, if the rest of the request was not read.
fn closing(mut response: Response<Full<Bytes>>, over_limit: bool) -> Response<Full<Bytes>> {
    if over_limit {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
