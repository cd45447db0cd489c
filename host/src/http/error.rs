//! The errors that the host answers by itself, and their responses. Everything else is the component's own response.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use sac_owner::{PromotionError, SelectionError, one_line};
use thiserror::Error;
use tokio_tungstenite::tungstenite;
use tracing::error;

use crate::http::body::BodyError;
use crate::http::form::Form;
use crate::policies::find_error::FindError;
use crate::sandbox::instance::InstanceError;
use crate::shadows::promotion::PromoteError;
use crate::swap::call::AnswerError;
use crate::work::crew::CrewError;

/// An error that the host answers instead of the component. The text is in the response.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("Not Found")]
    NotFound,
    #[error(
        "this path names no policy: policies answer below /policies/NAME, and with --default NAME (SAC_DEFAULT) one answers here too"
    )]
    NoDefault,
    /// The sentence names the policies only to a client that may see them.
    #[error("{0}")]
    NoPolicy(String),
    #[error("this server has no shadows to promote: --shadow-share (SAC_SHADOW_SHARE) compares them")]
    NoShadows,
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    #[error("Method Not Allowed")]
    NotPost,
    #[error("the body of a promotion is empty, or {{\"sha256\": …}}: {0}")]
    Promotion(#[source] serde_json::Error),
    #[error(transparent)]
    NotPromoted(PromoteError),
    #[error("this server lets no client choose the checkpoint that serves: --allow-rollback (SAC_ALLOW_ROLLBACK) does")]
    NoRollback,
    #[error("the body of a choice is {{\"file\": …, \"pin\": …}}, with the name of a candidate: {0}")]
    Selection(#[source] serde_json::Error),
    #[error(transparent)]
    NotSelected(SelectionError),
    #[error("nothing changes, because {} does not load: {}", one_line(.0), one_line(.1))]
    SelectedRefused(String, String),
    /// The machine is at fault, and not the file.
    #[error("nothing changes, because {} cannot be read or loaded at this moment: {}", one_line(.0), one_line(.1))]
    SelectedUnread(String, String),
    #[error("the checkpoint is the newest now, and is not in service: {0}")]
    SelectedNotInService(String),
    #[error("no token is set, so only this machine may ask: by the name localhost, and not for a page of another site")]
    OtherSite,
    #[error(
        "a page of another site may not open a stream here, unless --cors-origin (SAC_CORS_ORIGIN) names its origin"
    )]
    StreamOfOtherSite,
    #[error("a request must have one Host header")]
    Host,
    #[error("{0}: a stream is a WebSocket, whose client sends the headers of RFC 6455")]
    NotWebSocket(#[source] tungstenite::Error),
    #[error("this server cannot turn a request into a WebSocket")]
    NoUpgrade,
    #[error("the server stops")]
    Stopping,
    #[error("too many connections")]
    TooManyConnections,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("too many requests at once: {0} are in flight")]
    TooManyRequests(usize),
    #[error("too many large responses at once are unread")]
    Unread,
    #[error("too many {0} at once: ask again later")]
    Busy(&'static str),
    /// Nobody reads this.
    #[error("the client closed its side of the connection")]
    Gone,
    /// The reason is for the log. It is no fault of the client, and most often one of the machine.
    #[error("no instance of the policy's sandbox could be made")]
    NoInstance(#[source] anyhow::Error),
    /// The reason is for the log.
    #[error("the policies' folder does not answer")]
    Storage(#[source] anyhow::Error),
    #[error("the machine has no thread for this request")]
    NoThread(#[source] io::Error),
    #[error("the request was stopped: it took longer than {} s", .0.as_secs_f32())]
    Stopped(Duration),
    #[error("the policy's sandbox failed and was replaced")]
    Sandbox(#[source] InstanceError),
    /// A fault of this program: the component or the host does not keep the contract.
    #[error("the server failed")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Error::NotFound | Error::NoDefault | Error::NoPolicy(_) | Error::NoShadows => StatusCode::NOT_FOUND,
            Error::MethodNotAllowed | Error::NotPost => StatusCode::METHOD_NOT_ALLOWED,
            Error::Promotion(_) | Error::Selection(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::NotSelected(SelectionError::None(_)) => StatusCode::NOT_FOUND,
            Error::NotSelected(SelectionError::Io(..)) => StatusCode::INTERNAL_SERVER_ERROR,
            Error::NotSelected(SelectionError::OneFile)
            | Error::SelectedRefused(..)
            | Error::SelectedNotInService(_) => StatusCode::CONFLICT,
            Error::NotPromoted(error) => promotion_status(error),
            Error::NotWebSocket(_) => StatusCode::UPGRADE_REQUIRED,
            Error::NoUpgrade => StatusCode::NOT_IMPLEMENTED,
            Error::OtherSite | Error::StreamOfOtherSite | Error::NoRollback => StatusCode::FORBIDDEN,
            Error::Body(BodyError::Broken | BodyError::NotGzip) => StatusCode::BAD_REQUEST,
            Error::Body(BodyError::Encoding) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            // The component answers such a request, so this is for completeness.
            Error::Body(BodyError::OverLimit) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Body(BodyError::Late(_)) => StatusCode::REQUEST_TIMEOUT,
            Error::Host | Error::Gone => StatusCode::BAD_REQUEST,
            Error::Body(BodyError::NoMemory)
            | Error::TooManyConnections
            | Error::Stopping
            | Error::Unread
            | Error::TooManyRequests(_)
            | Error::Busy(_)
            | Error::NoInstance(_)
            | Error::SelectedUnread(..)
            | Error::Storage(_)
            | Error::NoThread(_)
            | Error::Stopped(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Sandbox(_) | Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns `true` if the error is one for the operator to read.
    fn is_logged(&self) -> bool {
        matches!(
            self,
            Error::NoInstance(_)
                | Error::SelectedUnread(..)
                | Error::Storage(_)
                | Error::NoThread(_)
                | Error::Stopped(_)
                | Error::Sandbox(_)
                | Error::Internal(_)
                | Error::NotSelected(SelectionError::Io(..))
                | Error::NotPromoted(PromoteError::Files(PromotionError::Io(..)) | PromoteError::NotInService(_))
        )
    }

    /// Logs the error if it is one for the operator, and returns its response.
    pub(crate) fn into_response(self, form: Form) -> Response<Full<Bytes>> {
        let response = self.response(form);
        if self.is_logged() {
            error!("request failed: {:#}", anyhow::Error::from(self));
        }
        response
    }

    fn response(&self, form: Form) -> Response<Full<Bytes>> {
        let status = self.status();
        let mut response = json(status, serde_json::json!({ form.key(): self.to_string() }).to_string().into());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if matches!(self, Error::NotPost) {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        if matches!(self, Error::NotWebSocket(_)) {
            response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if matches!(self, Error::Body(BodyError::Encoding)) {
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        // The rest of the body must not be read as the next request.
        if matches!(self, Error::Body(_)) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<AnswerError> for Error {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::NoInstance(error) => Error::NoInstance(error.0),
            AnswerError::Busy(what) => Error::Busy(what),
            AnswerError::Gone => Error::Gone,
            AnswerError::Instance(InstanceError::Time(limit)) => Error::Stopped(limit),
            AnswerError::Instance(error) if error.may_pass() => Error::NoInstance(error.into()),
            AnswerError::Instance(error) => Error::Sandbox(error),
            AnswerError::Thread(CrewError::NoThread(error)) => Error::NoThread(error),
            AnswerError::Thread(_) | AnswerError::NoAnswer(_) => Error::Internal(error.into()),
        }
    }
}

impl From<PromoteError> for Error {
    fn from(error: PromoteError) -> Self {
        match error {
            PromoteError::Thread(CrewError::NoThread(error)) => Error::NoThread(error),
            PromoteError::Thread(error) => Error::Internal(error.into()),
            error => Error::NotPromoted(error),
        }
    }
}

impl From<CrewError> for Error {
    fn from(error: CrewError) -> Self {
        match error {
            CrewError::NoThread(error) => Error::NoThread(error),
            error => Error::Internal(error.into()),
        }
    }
}

impl From<FindError> for Error {
    fn from(error: FindError) -> Self {
        match error {
            FindError::None => Error::NotFound,
            FindError::Thread(CrewError::NoThread(error)) => Error::NoThread(error),
            FindError::Thread(error) => Error::Internal(error.into()),
            FindError::Storage(_) | FindError::Late => Error::Storage(error.into()),
        }
    }
}

fn promotion_status(error: &PromoteError) -> StatusCode {
    match error {
        PromoteError::None(_) => StatusCode::NOT_FOUND,
        PromoteError::Files(PromotionError::Io(..)) | PromoteError::NotInService(_) | PromoteError::Thread(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        PromoteError::Refused(_)
        | PromoteError::Other(_)
        | PromoteError::Dimensions { .. }
        | PromoteError::Files(_) => StatusCode::CONFLICT,
    }
}

/// Returns a response with a JSON body.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
