use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::http::service::SacService;
use crate::sandbox::bindings::Response;
use crate::swap::history::{Swap, utc};

/// What the page at `/` shows besides the metrics.
#[derive(Serialize)]
pub(crate) struct Status {
    version: &'static str,
    component_sha256: &'static str,
    started_at_utc: String,
    /// Which files are looked at.
    source: String,
    /// As `/sac/model/info` tells it.
    model: Option<Value>,
    /// Why there is no model.
    detail: Option<Value>,
    /// The last hundred, the newest first.
    swaps: Vec<Swap>,
}

impl Status {
    /// `info` is the component's answer to whoever asks.
    pub(crate) fn of(service: &SacService, info: &Response) -> Result<Status> {
        let mut told = serde_json::from_slice::<Value>(&info.body).context("the component's info is no JSON")?;
        let detail = (info.status != 200).then(|| told["detail"].take());
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            component_sha256: env!("SAC_ACTOR_SHA256"),
            started_at_utc: utc(service.started_at()),
            source: service.holder().source().to_string(),
            model: detail.is_none().then_some(told),
            detail,
            swaps: service.holder().history.swaps(),
        })
    }
}
