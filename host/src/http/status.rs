//! The body of `/status`.

use anyhow::{Context, Result};
use sac_owner::Remedy;
use serde::Serialize;
use serde_json::Value;

use crate::http::found::Found;
use crate::http::service::SacService;
use crate::sandbox::bindings::Response;
use crate::shadows::state::ShadowState;
use crate::swap::history::{Swap, utc};

/// The data that the page at `/` shows beside the metrics.
#[derive(Serialize)]
pub(crate) struct Status {
    version: &'static str,
    component_sha256: &'static str,
    started_at_utc: String,
    /// The files that are candidates for the default policy, or the root.
    source: String,
    /// The body of `/sac/model/info`.
    model: Option<Value>,
    /// The reason why there is no model.
    detail: Option<Value>,
    /// The reason why the files hold no candidate, or cannot be seen, as health gives it.
    absence: Option<String>,
    /// The steps that put a policy into service, if the files hold no candidate. One suffices.
    remedies: Vec<Remedy>,
    /// The last swaps, newest first.
    swaps: Vec<Swap>,
    /// True if `/policies` lists the policies of a root.
    has_root: bool,
    /// The steps that make a policy NAME of the root. One suffices.
    root_remedies: Vec<Remedy>,
    /// The shadow of the default policy, if it has one.
    shadow: Option<ShadowState>,
}

impl Status {
    /// `info` is the component's response to `/sac/model/info`, and `main` the default policy, if there is one.
    pub(crate) async fn new(service: &SacService, main: Option<&Found<'_>>, info: &Response) -> Result<Status> {
        let mut body = serde_json::from_slice::<Value>(&info.body).context("the component's info is not JSON")?;
        let root = || service.policies().map(|policies| policies.to_string());
        let shadow = main.and_then(|main| service.shadow_state(main));
        let main = main.map(|main| main.holder());
        let absence = match main {
            Some(main) => main.current_soon().await.absence.map(|absence| absence.to_string()),
            None => None,
        };
        let detail = (info.status != 200).then(|| body["detail"].take());
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            component_sha256: env!("SAC_ACTOR_SHA256"),
            started_at_utc: utc(service.started_at()),
            source: main.map(|main| main.source().to_string()).or_else(root).unwrap_or_default(),
            model: detail.is_none().then_some(body),
            detail,
            absence,
            remedies: main.map(|main| main.source().remedies()).unwrap_or_default(),
            swaps: main.map(|main| main.history().swaps()).unwrap_or_default(),
            has_root: service.policies().is_some(),
            root_remedies: service.policies().map(|policies| policies.remedies()).unwrap_or_default(),
            shadow,
        })
    }
}
