//! The health of the server itself: while it stops, and with a root of which no policy is the default one.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::http::error::{self, Error};
use crate::http::route::Health;
use crate::http::service::SacService;
use crate::policies::registry::Registry;
use crate::swap::call::{AnswerError, Call};

impl SacService {
    /// Returns the response to a health route after a shutdown began, if it is another one then.
    pub(super) fn while_stopping(&self, health: Health, model_loaded: bool) -> Option<Response<Full<Bytes>>> {
        let body = match health {
            Health::Live => return None,
            Health::Ready => json!({ "ready": false }),
            Health::Sac => json!({ "status": "stopping", "model_loaded": model_loaded }),
        };
        self.is_stopping().then(|| error::json(StatusCode::SERVICE_UNAVAILABLE, body.to_string().into()))
    }

    /// Returns the policies of the root, if paths without the name of one have no policy.
    pub(super) fn without_default(&self) -> Option<&Arc<Registry>> {
        self.policies().filter(|policies| self.own().is_none() && policies.settings().default.name().is_none())
    }

    /// Answers that the server runs, or that it is ready. No policy is loaded for it.
    pub(super) async fn health_of_root(
        &self,
        policies: &Arc<Registry>,
        health: Health,
        call: &Call,
    ) -> Result<Response<Full<Bytes>>, Error> {
        if let Some(response) = self.while_stopping(health, false) {
            return Ok(response);
        }
        let answer = policies.answer(call, &self.tokens().current(None).await).await?;
        let answer = answer.ok_or(AnswerError::NoAnswer("did not answer without a policy"))?;
        // The component has no policy here, so it is never ready by itself.
        if health == Health::Ready && answer.status == StatusCode::SERVICE_UNAVAILABLE && policies.is_ready().await {
            return Ok(error::json(StatusCode::OK, json!({ "ready": true }).to_string().into()));
        }
        self.convert(answer)
    }
}
