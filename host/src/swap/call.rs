//! A request in owned form, so that it can be handed to the component more than once and from another thread. Also the
//! error of a request that the component does not answer.

use std::sync::Arc;

use bytes::Bytes;
use sac_owner::Refused;
use thiserror::Error;

use crate::observe::trace;
use crate::sandbox::bindings::{self, Body, Outcome, Refusal, Request, Response};
use crate::sandbox::cpu_budget::CallLimits;
use crate::sandbox::instance::{Instance, InstanceError};
use crate::swap::generation::Generation;
use crate::swap::pool::NoInstance;
use crate::work::crew::CrewError;

/// The owned form of a [`Request`].
pub(crate) struct Call {
    pub(crate) method: http::Method,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// The header Inference-Header-Content-Length.
    pub(crate) inference_header: Option<String>,
    /// `None` if the body is over the limit.
    pub(crate) body: Option<Bytes>,
    /// True if the decision in the response is wanted.
    pub(crate) wants_decision: bool,
    /// True if a shadow computes the decision too.
    pub(crate) is_sampled: bool,
}

/// The response to a call, and the generation that gave it.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) generation: Arc<Generation>,
}

/// The owned form of a [`bindings::RequestContext`].
pub(crate) struct RequestContext {
    pub(crate) tokens: Arc<[String]>,
    pub(crate) refusal: Option<Arc<Refused>>,
    pub(crate) absence: Option<Arc<str>>,
    pub(crate) reloaded: Option<Result<(), String>>,
}

/// The error of a call that no instance answers.
#[derive(Debug, Error)]
pub(crate) enum AnswerError {
    #[error(transparent)]
    NoInstance(#[from] NoInstance),
    #[error(transparent)]
    Instance(#[from] InstanceError),
    #[error(transparent)]
    Thread(#[from] CrewError),
    #[error("too many {0} at once")]
    Busy(&'static str),
    #[error("the client does not wait for the answer")]
    Gone,
    /// The component breaks the contract.
    #[error("the component {0}")]
    NoAnswer(&'static str),
}

impl Call {
    /// Hands the request to an instance. If `may_block` is `false`, the component may answer that the call takes long.
    pub(crate) fn run(
        &self,
        instance: &mut Instance,
        context: &RequestContext,
        may_block: bool,
        limits: CallLimits,
    ) -> Result<Outcome, InstanceError> {
        let RequestContext { tokens, refusal, absence, reloaded } = context;
        let path = refusal.as_ref().map(|refused| refused.resolved.to_string_lossy());
        let refusal = refusal.as_ref().zip(path.as_deref()).map(|(refused, path)| Refusal {
            path,
            modified: refused.modified().into(),
            detail: &refused.detail,
            at: refused.at.into(),
        });
        let tokens = tokens.iter().map(String::as_str).collect::<Vec<_>>();
        let reloaded = reloaded.as_ref().map(|reloaded| reloaded.as_ref().copied().map_err(String::as_str));
        let request = Request {
            method: self.method.as_str(),
            path: &self.path,
            authorization: self.authorization.as_deref(),
            inference_header_content_length: self.inference_header.as_deref(),
            body: self.body.as_ref().map_or(Body::OverLimit, |body| Body::Complete(body)),
        };
        let absence = absence.as_deref();
        let wants_decision = self.wants_decision;
        let tokens = tokens.as_slice();
        let context = bindings::RequestContext { tokens, refusal, absence, reloaded, may_block, wants_decision };
        trace::call(may_block).in_scope(|| instance.answer(request, context, limits))
    }
}
