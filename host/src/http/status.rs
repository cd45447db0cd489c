//! The body of `/status`.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::http::service::SacService;
use crate::sandbox::bindings::Response;
use crate::swap::history::{Swap, utc};

/// The data that the page at `/` shows beside the metrics.
#[derive(Serialize)]
pub(crate) struct Status {
    version: &'static str,
    component_sha256: &'static str,
    started_at_utc: String,
    /// The files that are candidates.
    source: String,
    /// The body of `/sac/model/info`.
    model: Option<Value>,
    /// The reason why there is no model.
    detail: Option<Value>,
    /// The last swaps, newest first.
    swaps: Vec<Swap>,
}

impl Status {
    /// `info` is the component's response to `/sac/model/info`.
    pub(crate) fn new(service: &SacService, info: &Response) -> Result<Status> {
        let mut body = serde_json::from_slice::<Value>(&info.body).context("the component's info is not JSON")?;
        let detail = (info.status != 200).then(|| body["detail"].take());
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            component_sha256: env!("SAC_ACTOR_SHA256"),
            started_at_utc: utc(service.started_at()),
            source: service.holder().source().to_string(),
            model: detail.is_none().then_some(body),
            detail,
            swaps: service.holder().history().swaps(),
        })
    }
}
