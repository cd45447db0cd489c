use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use thiserror::Error;
use tracing::error;

use crate::sandbox::instance::Broken;

/// What the host itself answers instead of the component.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("Not Found")]
    NotFound,
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    #[error(
        "no token is set, so that only this machine may ask: not a page of another site, and by no name but localhost"
    )]
    OtherSite,
    #[error("the request body could not be read")]
    BodyBroken,
    #[error("the request body did not come within {} s", .0.as_secs_f32())]
    BodyLate(Duration),
    #[error("too many large request bodies at once")]
    NoRoom,
    #[error("too many requests at once: {0} are in flight")]
    TooMany(usize),
    /// The reason is for the log: no fault of the client, and most often of the machine.
    #[error("no instance of the policy's sandbox could be made")]
    NoInstance(#[source] anyhow::Error),
    #[error("the request was stopped: it took longer than {} s", .0.as_secs_f32())]
    Stopped(Duration),
    #[error("the policy's sandbox failed and was replaced")]
    Sandbox(#[source] Broken),
    /// The component does not keep to the contract, or this host does not.
    #[error("the server failed")]
    Internal(#[source] anyhow::Error),
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Failure::NotFound => StatusCode::NOT_FOUND,
            Failure::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Failure::OtherSite => StatusCode::FORBIDDEN,
            Failure::BodyBroken => StatusCode::BAD_REQUEST,
            Failure::BodyLate(_) => StatusCode::REQUEST_TIMEOUT,
            Failure::NoRoom | Failure::TooMany(_) | Failure::NoInstance(_) | Failure::Stopped(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Failure::Sandbox(_) | Failure::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether an operator should know of it.
    fn is_the_servers(&self) -> bool {
        matches!(self, Failure::NoInstance(_) | Failure::Stopped(_) | Failure::Sandbox(_) | Failure::Internal(_))
    }

    /// Answered, and told to the operator where that is for him to know.
    pub(crate) fn told(self) -> Response<Full<Bytes>> {
        let response = self.response();
        if self.is_the_servers() {
            error!("request failed: {:#}", anyhow::Error::from(self));
        }
        response
    }

    /// In the words of the contract.
    fn response(&self) -> Response<Full<Bytes>> {
        let status = self.status();
        let mut response = json(status, serde_json::json!({ "detail": self.to_string() }).to_string().into());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // What is left of the body is not to be read as the next request.
        if matches!(self, Failure::BodyBroken | Failure::BodyLate(_) | Failure::NoRoom) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::TookTooLong(limit) => Failure::Stopped(limit),
            broken => Failure::Sandbox(broken),
        }
    }
}

pub(crate) fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
