//! What is loaded: health, info, reload.

use serde::Serialize;

use super::{Call, respond};
use crate::checkpoint::Instant;
use crate::error::Error;
use crate::service::{Outcome, Refusal};

#[derive(Serialize)]
struct Health {
    status: &'static str,
    model_loaded: bool,
}

pub(super) fn health(call: &mut Call) -> Result<Outcome, Error> {
    let (code, status) = match (&call.service.loaded, &call.situation.refusal) {
        (None, _) => (503, "no_model"),
        (Some(_), Some(_)) => (200, "stale"),
        (Some(_), None) => (200, "ok"),
    };
    respond(code, &Health { status, model_loaded: call.service.loaded.is_some() })
}

#[derive(Serialize)]
struct Info<'a> {
    path: &'a str,
    mtime_utc: &'a str,
    loaded_at_utc: Instant,
    format: &'a str,
    size_bytes: usize,
    sha256: &'a str,
    state_dim: usize,
    action_dim: usize,
    stochastic: bool,
    jit_compiled: bool,
    generation: u64,
    stale: bool,
    last_error: Option<LastError<'a>>,
}

#[derive(Serialize)]
struct LastError<'a> {
    path: &'a str,
    mtime_utc: Instant,
    detail: &'a str,
    at_utc: Instant,
}

pub(super) fn info(call: &mut Call) -> Result<Outcome, Error> {
    let refusal = call.situation.refusal.as_ref();
    let loaded = call.model()?;
    let (actor, checkpoint) = (&loaded.actor, &loaded.checkpoint);
    respond(
        200,
        &Info {
            path: &checkpoint.path,
            mtime_utc: &loaded.modified,
            loaded_at_utc: checkpoint.loaded,
            format: actor.format(),
            size_bytes: loaded.size_bytes,
            sha256: &checkpoint.sha256,
            state_dim: actor.state_dim(),
            action_dim: actor.action_dim(),
            stochastic: actor.stochastic(),
            jit_compiled: actor.optimised(),
            generation: checkpoint.generation,
            stale: refusal.is_some(),
            last_error: refusal.map(|Refusal { path, modified, detail, at }| LastError {
                path,
                mtime_utc: *modified,
                detail,
                at_utc: *at,
            }),
        },
    )
}

pub(super) fn reload(call: &mut Call) -> Result<Outcome, Error> {
    match &call.situation.reloaded {
        None => Ok(Outcome::Reload),
        Some(Ok(())) => info(call),
        Some(Err(detail)) => Err(Error::LoadFailed(detail.clone())),
    }
}
