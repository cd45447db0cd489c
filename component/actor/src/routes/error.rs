//! The errors of the routes, each with its status.

use std::fmt;

use serde_json::json;
use thiserror::Error;

use super::explain::Issue;
use crate::one_line::one_line;
use crate::wit::Response;

/// An error of a route. Its message is the `detail` of the response.
#[derive(Debug, Error)]
pub enum Error {
    #[error("request body over the limit of {limit} bytes")]
    BodyOverLimit { limit: u64 },
    #[error("Not Found")]
    UnknownRoute,
    #[error("there is no model of this name")]
    UnknownModel,
    #[error("the model has no such version")]
    UnknownVersion,
    #[error("Method Not Allowed")]
    WrongMethod { allow: &'static str },
    #[error("missing or wrong bearer token")]
    Unauthorized,
    #[error("the body is not of the route's schema")]
    Invalid(Vec<Issue>),
    /// An inference request that is wrong.
    #[error("{0}")]
    Refused(String),
    #[error("No SAC model loaded")]
    NoModel,
    #[error("Checkpoint load failed: {0}")]
    LoadFailed(String),
    #[error("{row}state_dim mismatch: got {got}, expected {expected}")]
    StateDim { row: Row, got: usize, expected: usize },
    #[error(
        "this checkpoint is deterministic only: it has no log_std to sample an action with, or the rule for it is not known \
         (`facts` of /sac/model/info)"
    )]
    DeterministicOnly,
    #[error("{name} over the limit: got {got}, at most {limit}")]
    OverLimit { name: &'static str, got: u64, limit: u64 },
    #[error("{row}the {output} is not finite")]
    NotFinite { row: Row, output: &'static str },
    #[error("inference failed: {}", one_line(.0))]
    Inference(#[source] anyhow::Error),
}

/// The state of a batch that an error is about, counted from zero; `None` for a single state.
#[derive(Debug, Clone, Copy)]
pub struct Row(pub Option<usize>);

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |row| write!(f, "states[{row}]: "))
    }
}

/// The protocol that a route belongs to. It decides under which key a response names an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `detail`, as FastAPI does.
    Sac,
    /// `error`.
    OpenInference,
}

impl Error {
    fn status(&self) -> u16 {
        match self {
            Error::StateDim { .. } | Error::DeterministicOnly | Error::OverLimit { .. } | Error::Refused(_) => 400,
            Error::Unauthorized => 401,
            Error::UnknownRoute | Error::UnknownModel | Error::UnknownVersion => 404,
            Error::WrongMethod { .. } => 405,
            Error::BodyOverLimit { .. } => 413,
            Error::Invalid(_) => 422,
            Error::LoadFailed(_) | Error::NotFinite { .. } | Error::Inference(_) => 500,
            Error::NoModel => 503,
        }
    }

    /// Makes the response of a route.
    pub fn into_response(self, protocol: Protocol) -> Response {
        let detail = match &self {
            Error::Invalid(issues) => json!(issues),
            _ => json!(self.to_string()),
        };
        let body = match protocol {
            Protocol::Sac => json!({ "detail": detail }),
            Protocol::OpenInference => json!({ "error": detail }),
        };
        let headers = match &self {
            Error::WrongMethod { allow } => vec![("allow".to_owned(), (*allow).to_owned())],
            Error::Unauthorized => vec![("www-authenticate".to_owned(), "Bearer".to_owned())],
            _ => vec![],
        };
        Response { status: self.status(), headers, body: body.to_string().into_bytes(), decision: None }
    }
}
