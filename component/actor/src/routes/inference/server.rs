//! The routes about the server: its metadata, and if it is live and ready.

use serde::Serialize;

use crate::routes::call::{Call, respond};
use crate::routes::error::Error;
use crate::wit::Outcome;

#[derive(Serialize)]
struct Metadata {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 1],
}

pub(super) fn metadata(_: &mut Call) -> Result<Outcome, Error> {
    let (name, version) = ("sac-serving", env!("CARGO_PKG_VERSION"));
    respond(200, &Metadata { name, version, extensions: ["binary_tensor_data"] })
}

#[derive(Serialize)]
struct Live {
    live: bool,
}

pub(super) fn live(_: &mut Call) -> Result<Outcome, Error> {
    respond(200, &Live { live: true })
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
}

/// The protocol calls the field `live`. Its servers and clients call it `ready`.
pub(super) fn ready(call: &mut Call) -> Result<Outcome, Error> {
    let ready = call.model().is_ok();
    respond(if ready { 200 } else { 503 }, &Ready { ready })
}
