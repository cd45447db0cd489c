//! One request of the component's routes: its body, its permit, the policy that answers it, and the response.

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tokio::sync::SemaphorePermit;

use crate::http::body::BodyError;
use crate::http::error::Error;
use crate::http::found::{Admitted, Found};
use crate::http::peer::Peer;
use crate::http::response::{INFERENCE_HEADER, response};
use crate::http::route::Health;
use crate::http::service::SacService;
use crate::sandbox::bindings::{self, Decision};
use crate::swap::call::{Answer, Call};
use crate::swap::generation::Generation;

impl SacService {
    pub(super) async fn receive<B>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, Error>
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
    pub(super) fn permit(&self, health: Option<Health>) -> Result<Option<SemaphorePermit<'_>>, Error> {
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
